"""What a schema demands that no grammar can say: it is taken out of it, and checked afterwards.

Knows no tokens: a schema and a document in, problems as texts out.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

#: The keywords that are checked when a document is complete.
CHECKED = ("uniqueItems", "dependentRequired")

#: Keywords whose values map names of the author's to schemas.
_NAMED = ("properties", "$defs", "definitions", "patternProperties")

_TYPES = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}


def without_checked(schema: Any) -> Any:
    """The schema without what is checked afterwards: what is left, a grammar can say.

    Example:
        >>> without_checked({"type": "array", "uniqueItems": True})
        {'type': 'array'}
    """
    if isinstance(schema, list):
        return [without_checked(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: without_checked(each) for name, each in value.items()}
        if key in _NAMED
        else value
        if key in ("const", "enum", "default", "examples")
        else without_checked(value)
        for key, value in schema.items()
        if key not in CHECKED
    }


def problems(document: Any, schema: Any, root: Schema, place: str = "$") -> Iterator[str]:
    """What is wrong with a document, as far as it is checked here.

    Example:
        >>> schema = {"type": "array", "uniqueItems": True}
        >>> list(problems([1, 2, 1], schema, schema))
        ['$ has 1 twice']
    """
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield from problems(document, _resolved(schema["$ref"], root), root, place)
    if isinstance(document, list):
        yield from _wrong_in_list(document, schema, root, place)
    if isinstance(document, dict):
        yield from _wrong_in_object(document, schema, root, place)
    if "anyOf" in schema:
        fitting = [each for each in schema["anyOf"] if _has_type(document, each, root)]
        found = [list(problems(document, each, root, place)) for each in fitting]
        yield from min(found, key=len, default=[])


def _wrong_in_list(document: list[Any], schema: Schema, root: Schema, place: str) -> Iterator[str]:
    for i, item in enumerate(document):
        if schema.get("uniqueItems") and item in document[:i]:
            yield f"{place} has {item!r} twice"
        yield from problems(item, schema.get("items"), root, f"{place}[{i}]")


def _wrong_in_object(
    document: dict[str, Any], schema: Schema, root: Schema, place: str
) -> Iterator[str]:
    for name, needed in schema.get("dependentRequired", {}).items():
        for other in needed:
            if name in document and other not in document:
                yield f"{place} has {name!r} without {other!r}"
    for name, value in document.items():
        part = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
        yield from problems(value, part, root, f"{place}.{name}")


def _resolved(reference: str, root: Schema) -> Any:
    """The schema that a `$ref` inside of a document means."""
    part: Any = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        part = part[name.replace("~1", "/").replace("~0", "~")] if name else part
    return part


def _has_type(document: Any, schema: Any, root: Schema) -> bool:
    """Whether a schema may be the one of several that a document follows."""
    if isinstance(schema, dict) and "$ref" in schema:
        return _has_type(document, _resolved(schema["$ref"], root), root)
    named = schema.get("type") if isinstance(schema, dict) else None
    names = [named] if isinstance(named, str) else named or list(_TYPES)
    return any(isinstance(document, _TYPES[name]) for name in names)
