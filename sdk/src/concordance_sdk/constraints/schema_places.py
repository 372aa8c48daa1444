"""The schemas in a schema, and where they stand: nested ones, and what a `$ref` points to."""

from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import unquote

from concordance_shared import ConstraintError
from msgspec import Struct

#: Keywords whose value is a schema, a list of schemas, or a mapping to schemas.
OF_SCHEMAS = (
    *("additionalProperties", "propertyNames", "unevaluatedProperties"),
    *("items", "additionalItems", "contains", "unevaluatedItems"),
    *("not", "if", "then", "else"),
)
OF_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
OF_MAPPINGS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")


class Place(Struct, frozen=True, eq=False):
    """A schema in another, and where it stands there."""

    schema: dict[str, Any]
    at: str
    resource: "Place | None" = None  # what its references start from; itself, if there is none

    @property
    def root(self) -> "Place":
        """What a reference that begins with `#` starts from."""
        return self.resource or self


def places(document: dict[str, Any]) -> Iterator[Place]:
    """Every schema in a document that any text is held to, the outer ones first.

    Raises:
        ConstraintError: A reference points to nothing.
    """
    found = [Place(document, "$")]
    seen = {id(document)}
    for place in found:  # grows while it is read
        yield place
        for inner in (*_nested(place), *_referred(place)):
            if id(inner.schema) not in seen:
                seen.add(id(inner.schema))
                found.append(inner)


def _nested(place: Place) -> Iterator[Place]:
    for word, value in place.schema.items():
        for schema, at in _schemas_of(word, value):
            if isinstance(schema, dict):
                inner = cast(dict[str, Any], schema)
                root = None if _has_name(inner) else place.root
                yield Place(inner, f"{place.at}{at}", root)


def _has_name(schema: dict[str, Any]) -> bool:
    """Whether references in a schema start from it, not from what it stands in."""
    name = schema.get("$id")
    return isinstance(name, str) and not name.startswith("#")


def _schemas_of(word: str, value: Any) -> Iterator[tuple[Any, str]]:
    """What may be a schema in the value of a keyword, and where."""
    if word in OF_MAPPINGS and isinstance(value, Mapping):
        for key, schema in cast(Mapping[str, Any], value).items():
            yield schema, f".{word}.{key}"
    elif word in OF_LISTS and isinstance(value, list):
        for i, schema in enumerate(cast(list[Any], value)):
            yield schema, f".{word}[{i}]"
    elif word in OF_SCHEMAS:
        yield value, f".{word}"


def _referred(place: Place) -> Iterator[Place]:
    """What a schema refers to by a path, wherever that lies.

    What it refers to by a name is known only where schemas stand, and is found there.
    """
    reference = place.schema.get("$ref")
    document, _, path = reference.partition("#") if isinstance(reference, str) else ("", "", "")
    if not path.startswith("/"):
        return
    if document:
        _check_usual(f"{reference:.60}", path, place.at)
        return
    target, at = _followed(path, place.root)
    if target is None:
        raise ConstraintError(
            f"'$ref' {reference!r:.60} (at {place.at}) points to nothing; put what it "
            "means under '$defs'"
        )
    if isinstance(target, dict):
        yield Place(cast(dict[str, Any], target), at, place.root)


def _followed(path: str, root: Place) -> tuple[Any, str]:
    """What a path leads to, `None` if nothing, and where that stands."""
    target, at = cast(Any, root.schema), root.at
    for step in path[1:].split("/"):
        target, behind = _inside(target, unquote(step).replace("~1", "/").replace("~0", "~"))
        at += behind
    return target, at


def _check_usual(reference: str, path: str, at: str) -> None:
    """Refuse a path into a named schema, unless it leads to where schemas stand."""
    match path.split("/"):
        case ["", "$defs" | "definitions", _]:
            return
        case _:
            raise ConstraintError(
                f"it does not follow '$ref' {reference!r} (at {at}) into a schema with a "
                "name; put what is meant under '$defs', and refer to it as '#/$defs/...'"
            )


def _inside(value: Any, key: str) -> tuple[Any, str]:
    """What stands under a key, or at an index; `None` if nothing does."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        return (items[int(key)] if key.isdecimal() and int(key) < len(items) else None), f"[{key}]"
    if isinstance(value, dict):
        return cast(dict[str, Any], value).get(key), f".{key}"
    return None, ""
