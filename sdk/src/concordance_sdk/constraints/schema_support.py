"""What of JSON Schema can be enforced, and what is done about the rest.

llguidance refuses the keywords that it knows and cannot enforce. Here is what it lets pass: words
of old drafts, object sizes that repeated keys would feign, and dates that no calendar has.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from concordance_shared import ConstraintError

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

#: Keywords whose value is a schema, a list of schemas, or a mapping to schemas.
_OF_SCHEMAS = (
    *("additionalProperties", "propertyNames", "unevaluatedProperties"),
    *("items", "additionalItems", "contains", "unevaluatedItems"),
    *("not", "if", "then", "else"),
)
_OF_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_OF_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


def enforceable(schema: Mapping[str, Any], at: str = "$") -> dict[str, Any]:
    """The same schema in words that llguidance enforces fully.

    Args:
        schema: A schema.
        at: Where it stands in the whole one, for messages.

    Raises:
        ConstraintError: It holds a keyword that would be ignored.
    """
    for word in _OLD_WORDS:
        if word in schema:
            raise ConstraintError(
                f"JsonSchema cannot enforce {word!r} (at {at}), a keyword of an old draft"
            )
    _check_size(schema, at)
    kept = {word: value for word, value in schema.items() if (word, value) not in _SAY_NOTHING}
    inner = {
        word: _within(word, value, lambda s, place: enforceable(s, f"{at}{place}"))
        for word, value in kept.items()
    }
    return _with_patterns(inner)


#: Keywords that allow everything, and yet are refused.
_SAY_NOTHING = (("uniqueItems", False),)


def explained(error: str, schema: Mapping[str, Any]) -> str:
    """An error of llguidance's, with the keyword and the place in the schema that it is about."""
    words = re.search(r"Unimplemented keys: \[(.*?)\]", error)
    if words:
        named = cast(list[str], re.findall(r'"([^"]+)"', words[1]))
        places = [f"{word!r} (at {_place_of(word, schema) or '$'})" for word in named]
        return f"it does not enforce {', '.join(places)}; leave that out, or check it afterwards"
    if "oneOf constraints" in error:
        return (
            f"it does not enforce 'oneOf' (at {_place_of('oneOf', schema) or '$'}) unless its "
            "cases clearly exclude each other; use 'anyOf', or give each a property with a "
            "'const' of its own"
        )
    said = re.sub(r"\n +\d+ \| .*", "", error, flags=re.DOTALL)  # the grammar, printed behind
    said = said.removeprefix("at ").partition("JSON schema: ")[2] or said
    return " ".join(said.split())


def _within(word: str, value: Any, change: Callable[[Mapping[str, Any], str], Any]) -> Any:
    """The value of a keyword, with a change made to the schemas in it."""
    if word in _OF_SCHEMAS and isinstance(value, Mapping):
        return change(cast(Mapping[str, Any], value), f".{word}")
    if word in _OF_LISTS and isinstance(value, list):
        return [
            change(cast(Mapping[str, Any], item), f".{word}[{i}]")
            if isinstance(item, Mapping)
            else item
            for i, item in enumerate(cast(list[Any], value))
        ]
    if word in _OF_MAPPINGS and isinstance(value, Mapping):
        return {
            key: change(cast(Mapping[str, Any], item), f".{word}.{key}")
            if isinstance(item, Mapping)
            else item
            for key, item in cast(Mapping[str, Any], value).items()
        }
    return value


def _with_patterns(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its format written as a pattern, if it is one of a calendar or a clock."""
    pattern = _PATTERNS.get(str(schema.get("format")))
    if pattern is None:
        return schema
    rest = {word: value for word, value in schema.items() if word != "format"}
    if "pattern" not in rest and "$ref" not in rest:
        return {**rest, "pattern": pattern}
    return {**rest, "allOf": [*rest.get("allOf", ()), {"pattern": pattern}]}


def _check_size(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a least size of objects that only different keys would reach.

    A grammar does not see that a key was there before, so that one key, several times, would be
    counted as several.
    """
    least: object = schema.get("minProperties", 0)
    required: object = schema.get("required", ())
    known = len(set(cast(list[str], required))) if isinstance(required, list) else 0
    if isinstance(least, int | float) and least > max(1, known):
        raise ConstraintError(
            f"JsonSchema cannot enforce 'minProperties' above 1 (at {at}) where keys are free, "
            "since it cannot tell a repeated key; list what must be there in 'required'"
        )


def _place_of(word: str, schema: Mapping[str, Any], at: str = "$") -> str | None:
    """Where in a schema a keyword stands first."""
    return next(_places_of(word, schema, at), None)


def _places_of(word: str, schema: Mapping[str, Any], at: str) -> Iterator[str]:
    if word in schema:
        yield at
    found: list[tuple[Mapping[str, Any], str]] = []
    for key, value in schema.items():
        _within(key, value, lambda inner, place: found.append((inner, f"{at}{place}")))
    for inner, place in found:
        yield from _places_of(word, inner, place)
