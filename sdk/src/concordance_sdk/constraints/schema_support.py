"""What of JSON Schema can be enforced, and what is done about the rest.

llguidance refuses the keywords that it knows and cannot enforce. Here is what it lets pass: words
of old drafts, object sizes that repeated keys would feign, numbers that it would round, and dates
that no calendar has.
"""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema_places import (
    OF_LISTS,
    OF_MAPPINGS,
    OF_SCHEMAS,
    Place,
    places,
)

_YEAR = "[1-9][0-9]{3}"
_LEAP_YEAR = "(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    f"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,9}})?(?:Z|[+-]{_CLOCK})"

#: Formats that are written as patterns, since llguidance knows no calendar.
_PATTERNS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
}

#: Keywords of drafts before the fourth, which llguidance takes for annotations.
_OLD_WORDS = ("disallow", "divisibleBy", "extends")

#: Keywords that are enforced: others that are nearly spelled so are taken for mistakes.
_ENFORCED = (
    *("type", "enum", "const", "properties", "required", "additionalProperties"),
    *("patternProperties", "minProperties", "maxProperties", "items", "prefixItems"),
    *("minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum"),
    *("maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "anyOf", "allOf", "oneOf"),
)

#: Keywords whose numbers are written or compared.
_OF_NUMBERS = (
    *("const", "enum", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
)

#: From here on, not every whole number is a float of its own.
_TOO_LARGE = 2**53

#: What may stand behind a backslash wherever a text is written.
_ESCAPES = 'bfnrt"\\'

#: Control characters that are written by their codes.
_CODED = re.compile(r"[\x00-\x07\x0b\x0e-\x1f\x7f]")


def enforceable(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema in words that llguidance enforces fully.

    Args:
        schema: A schema, made of what JSON has.

    Raises:
        ConstraintError: It holds what would be ignored, or not be kept exactly.
    """
    own = copy.deepcopy(schema)
    for place in list(places(own)):
        for check in (_check_age, _check_spelling, _check_size, _check_numbers):
            check(place.schema, place.at)
        _drop_what_says_nothing(place.schema)
        _write_format_as_pattern(place.schema)
    return own


def escapes(schema: dict[str, Any]) -> str:
    """What may stand behind a backslash in the documents of a schema.

    A `u` only if a text needs it and no key is free beside those with a schema of their own: such
    a key could be written by the codes of its characters, and would overwrite one of those.

    Raises:
        ConstraintError: A text needs it, and there are such keys.
    """
    every = list(places(schema))
    coded = [
        f"{word!r} {text!r:.40} (at {place.at})" for place in every for word, text in _coded(place)
    ]
    mixed = [place.at for place in every if _mixes_keys(place.schema)]
    if coded and mixed:
        raise ConstraintError(
            f"it cannot write the control character in {coded[0]} where keys are free beside named "
            f"ones (at {mixed[0]}); set 'additionalProperties' to false there"
        )
    return _ESCAPES + ("u" if coded else "")


def _coded(place: Place) -> Iterator[tuple[str, str]]:
    """The texts of a schema that are written by the code of a character, with their keywords."""
    for word in ("const", "enum"):
        for text in _values(place.schema.get(word)):
            if isinstance(text, str) and _CODED.search(text):
                yield word, text


def _mixes_keys(schema: dict[str, Any]) -> bool:
    """Whether objects may have keys that are free, or follow a pattern, beside others."""
    has_own = bool(schema.get("properties") or schema.get("required"))
    has_patterns = bool(schema.get("patternProperties"))
    return has_patterns or (has_own and schema.get("additionalProperties") is not False)


def _drop_what_says_nothing(schema: dict[str, Any]) -> None:
    """Take out what allows everything, and yet is refused."""
    if schema.get("uniqueItems") is False:
        del schema["uniqueItems"]


def _write_format_as_pattern(schema: dict[str, Any]) -> None:
    """Write a format as a pattern, if it is one of a calendar or a clock."""
    pattern = _PATTERNS.get(str(schema.get("format")))
    if pattern is None or not isinstance(schema.get("allOf", []), list):
        return
    del schema["format"]
    if "pattern" in schema or "$ref" in schema:
        schema["allOf"] = [*schema.get("allOf", ()), {"pattern": pattern}]
    else:
        schema["pattern"] = pattern


def _check_age(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a keyword of an old draft."""
    for word in _OLD_WORDS:
        if word in schema:
            raise ConstraintError(
                f"JsonSchema cannot enforce {word!r} (at {at}), a keyword of an old draft"
            )


def _check_numbers(schema: Mapping[str, Any], at: str) -> None:
    """Refuse numbers that would be rounded."""
    for word in _OF_NUMBERS:
        for value in _values(schema.get(word)):
            if isinstance(value, int | float) and not _is_exact(value):
                raise ConstraintError(
                    f"it cannot keep {word!r} {value!r:.40} (at {at}) exactly: whole "
                    "numbers are below 2**53, others have at most 15 digits; leave it out and "
                    "check it afterwards, or write the number as a string"
                )


def _is_exact(number: float) -> bool:
    """Whether a number is written and compared as it is, not rounded."""
    if abs(number) >= _TOO_LARGE:
        return False
    return isinstance(number, int) or float(f"{number:.15g}") == number


def _values(value: Any) -> Iterator[Any]:
    """A value, and all those in it."""
    yield value
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = cast(dict[str, Any], value).values()
    elif isinstance(value, list):
        inner = cast(list[Any], value)
    for item in inner:
        yield from _values(item)


def _check_spelling(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a keyword that nobody knows and that is nearly one that is enforced."""
    for word in schema.keys() - {*_ENFORCED, *OF_SCHEMAS, *OF_LISTS, *OF_MAPPINGS}:
        import difflib  # noqa: PLC0415  # only for schemas with words of their own

        if close := difflib.get_close_matches(word, _ENFORCED, n=1, cutoff=0.8):
            raise ConstraintError(
                f"JSON Schema has no keyword {word!r} (at {at}); did you mean {close[0]!r}?"
            )


def _check_size(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a least size of objects that only different keys would reach.

    A grammar does not see that a key was there before, so that one key, several times, would be
    counted as several.
    """
    least: object = schema.get("minProperties", 0)
    required: object = schema.get("required", ())
    keys = cast(list[object], required) if isinstance(required, list) else []
    known = len({key for key in keys if isinstance(key, str)})
    if isinstance(least, int | float) and least > max(1, known):
        raise ConstraintError(
            f"JsonSchema cannot enforce 'minProperties' above 1 (at {at}) where keys are free, "
            "since it cannot tell a repeated key; list what must be there in 'required'"
        )
