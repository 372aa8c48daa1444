"""What of JSON Schema can be enforced, and what is done about the rest.

llguidance refuses the keywords that it knows and cannot enforce. Here is what it lets pass: words
of old drafts, object sizes that repeated keys would feign, and dates that no calendar has.
"""

from collections.abc import Callable, Mapping
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

#: Keywords that are enforced: others that are nearly spelled so are taken for mistakes.
_ENFORCED = (
    *("type", "enum", "const", "properties", "required", "additionalProperties"),
    *("patternProperties", "minProperties", "maxProperties", "items", "prefixItems"),
    *("minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum"),
    *("maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "anyOf", "allOf", "oneOf"),
)

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
    _check_spelling(schema, at)
    _check_size(schema, at)
    kept = {word: value for word, value in schema.items() if (word, value) not in _SAY_NOTHING}
    inner = {
        word: within(word, value, lambda s, place: enforceable(s, f"{at}{place}"))
        for word, value in kept.items()
    }
    return _with_patterns(inner)


#: Keywords that allow everything, and yet are refused.
_SAY_NOTHING = (("uniqueItems", False),)


def within(word: str, value: Any, change: Callable[[Mapping[str, Any], str], Any]) -> Any:
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


def _check_spelling(schema: Mapping[str, Any], at: str) -> None:
    """Refuse a keyword that nobody knows and that is nearly one that is enforced."""
    for word in schema.keys() - {*_ENFORCED, *_OF_SCHEMAS, *_OF_LISTS, *_OF_MAPPINGS}:
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
    known = len(set(cast(list[str], required))) if isinstance(required, list) else 0
    if isinstance(least, int | float) and least > max(1, known):
        raise ConstraintError(
            f"JsonSchema cannot enforce 'minProperties' above 1 (at {at}) where keys are free, "
            "since it cannot tell a repeated key; list what must be there in 'required'"
        )
