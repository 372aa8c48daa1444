"""Whether a document follows a schema, and which schemas its parts have to follow.

Knows what a grammar can express, and leaves the rest to `checks`. Patterns and formats are left to
the grammar too: there the result is `MAYBE`.
"""

import re
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]


class Follows(IntEnum):
    """How far a document follows a schema; for several that all have to hold, the minimum."""

    NO = 0
    MAYBE = 1
    YES = 2


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == value // 1,
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}

#: The check of a keyword, by the type of document that it applies to.
_DEMANDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("number", lambda value, bound: value >= bound),
    "maximum": ("number", lambda value, bound: value <= bound),
    "exclusiveMinimum": ("number", lambda value, bound: value > bound),
    "exclusiveMaximum": ("number", lambda value, bound: value < bound),
    "minLength": ("string", lambda value, bound: len(value) >= bound),
    "maxLength": ("string", lambda value, bound: len(value) <= bound),
    "minItems": ("array", lambda value, bound: len(value) >= bound),
    "maxItems": ("array", lambda value, bound: len(value) <= bound),
    "minProperties": ("object", lambda value, bound: len(value) >= bound),
    "maxProperties": ("object", lambda value, bound: len(value) <= bound),
    "required": ("object", lambda value, names: all(name in value for name in names)),
}

#: Keywords that only the grammar can decide.
_UNKNOWN = {"pattern": "string", "format": "string", "multipleOf": "number"}


def follows(document: Any, schema: Any, root: Schema) -> Follows:
    """Rate whether a document follows a schema, apart from keywords checked afterwards.

    Example:
        >>> schema = {"type": "string", "pattern": "^a"}
        >>> follows("b", schema, schema).name, follows(1, schema, schema).name
        ('MAYBE', 'NO')
    """
    if not isinstance(schema, dict):
        return Follows.NO if schema is False else Follows.YES
    least = Follows.YES
    for each in _ratings(document, schema, root):
        least = min(least, each)
        if least is Follows.NO:
            break
    return least


def _ratings(document: Any, schema: Schema, root: Schema) -> Iterator[Follows]:
    """Rate a document by each keyword of a schema, the cheapest first."""
    for word, value in schema.items():
        yield _rating(document, word, value)
    for each in joined(schema, root):
        yield follows(document, each, root)
    for cases in alternatives(schema):
        yield max(follows(document, each, root) for each in cases)
    for _, value, part in parts(document, schema):
        yield follows(value, part, root)


def _rating(document: Any, word: str, value: Any) -> Follows:
    if word == "type":
        names = [value] if isinstance(value, str) else value
        return _yes_or_no(any(_TYPES[name](document) for name in names))
    if word in ("const", "enum"):
        allowed = [value] if word == "const" else value
        return _yes_or_no(identity(document) in map(identity, allowed))
    if word in _DEMANDS and _TYPES[_DEMANDS[word][0]](document):
        return _yes_or_no(_DEMANDS[word][1](document, value))
    return Follows.MAYBE if word in _UNKNOWN and _TYPES[_UNKNOWN[word]](document) else Follows.YES


def joined(schema: Schema, root: Schema) -> list[Any]:
    """The schemas that have to hold in addition to this one."""
    meant = [resolved(schema["$ref"], root)] if "$ref" in schema else []
    return [*meant, *schema.get("allOf", ())]


def alternatives(schema: Schema) -> list[list[Any]]:
    """The lists of schemas of which one has to hold; a grammar rejects a `oneOf` that overlaps."""
    return [schema[word] for word in ("anyOf", "oneOf") if word in schema]


def parts(document: Any, schema: Schema) -> Iterator[tuple[str, Any, Any]]:
    """The values in a document: place, value, and a schema that it has to follow.

    Example:
        >>> list(parts([1, 2], {"prefixItems": [{"const": 1}], "items": {"type": "integer"}}))
        [('[0]', 1, {'const': 1}), ('[1]', 2, {'type': 'integer'})]
    """
    if isinstance(document, list):
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(rest, list):  # the form of drafts before 2020-12
            first, rest = rest, schema.get("additionalItems", True)
        for i, value in enumerate(document):
            yield f"[{i}]", value, first[i] if i < len(first) else rest
    if isinstance(document, dict):
        for name, value in document.items():
            for each in _of_name(name, schema):
                yield f".{name}", value, each


def _of_name(name: str, schema: Schema) -> list[Any]:
    """The schemas that the value of a name has to follow."""
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    found = [named[name]] if name in named else []
    found += [each for pattern, each in patterns.items() if re.search(pattern, name)]
    return found or [schema.get("additionalProperties", True)]


def resolved(reference: str, root: Schema) -> Any:
    """The schema that a `$ref` inside the document refers to.

    Raises:
        LookupError: There is no schema at that place.
    """
    if reference != "#" and not reference.startswith("#/"):
        raise LookupError(reference)
    part: Any = root
    for name in reference.split("/")[1:]:
        key = unquote(name).replace("~1", "/").replace("~0", "~")
        part = part[int(key) if isinstance(part, list) and key.isdigit() else key]
    return part


def identity(value: Any) -> Any:
    """A key that is the same for two values exactly if JSON Schema calls them equal.

    Example:
        >>> identity([1, {"a": 2}]) == identity([1.0, {"a": 2.0}]), identity(1) == identity(True)
        (True, False)
    """
    if isinstance(value, list):
        return tuple(identity(each) for each in value)
    if isinstance(value, dict):
        return frozenset((name, identity(each)) for name, each in value.items())
    return (value, bool) if isinstance(value, bool) else value


def _yes_or_no(is_so: bool) -> Follows:  # noqa: FBT001
    return Follows.YES if is_so else Follows.NO
