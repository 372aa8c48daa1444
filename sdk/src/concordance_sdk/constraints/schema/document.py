"""The schemas nested in a schema document, their locations, and the resolution of references."""

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote, urldefrag, urljoin

from concordance_shared import ConstraintError
from msgspec import Struct

#: Keywords whose value is a schema.
_SCHEMAS = (
    *("additionalProperties", "propertyNames", "unevaluatedProperties", "contentSchema"),
    *("items", "additionalItems", "contains", "unevaluatedItems"),
    *("not", "if", "then", "else", "extends"),
)
#: Keywords whose value is a list of schemas.
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items", "extends", "type", "disallow")
#: Keywords whose value maps names to schemas.
_MAPPINGS = (
    *("properties", "patternProperties", "$defs", "definitions", "dependentSchemas"),
    *("dependencies",),
)

#: Maximum nesting depth of schemas.
MAX_DEPTH = 200


class Place(Struct, frozen=True):
    """The location of a schema: its JSON pointer and its base URI."""

    pointer: str
    base: str


class Document:
    """A schema and all schemas nested in it, identified by number.

    Booleans are schemas too: number 0 is `true`, number 1 is `false`.
    """

    def __init__(self, schema: Any) -> None:
        """Index the schemas of a document.

        Raises:
            ConstraintError: They nest too deep.
        """
        self.schemas: list[dict[str, Any] | bool] = [True, False]
        self._places: list[Place] = [Place("", ""), Place("", "")]
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # keeps the objects alive whose ids are in `_numbers`
        self._resources: dict[str, tuple[Any, str]] = {}
        self._anchors: dict[tuple[str, str], tuple[Any, str]] = {}
        self._dynamic: dict[str, list[tuple[Any, str, str]]] = {}
        self._bases: dict[int, str] = {}
        self._scan(schema)
        self.root = self.number(schema, Place("", self._bases.get(id(schema), "")))

    def number(self, schema: Any, place: Place) -> int:
        """Return the number of a schema; assign one if it is new.

        Raises:
            ConstraintError: It is not a schema.
        """
        if isinstance(schema, bool):
            return 0 if schema else 1
        if not isinstance(schema, dict):
            raise ConstraintError(f"{schema!r:.60} (at {shown(place.pointer)}) is not a schema")
        known = self._numbers.get(id(cast(object, schema)))
        if known is None:
            known = self._numbers[id(cast(object, schema))] = len(self.schemas)
            self._kept.append(schema)
            self.schemas.append(cast(dict[str, Any], schema))
            self._places.append(
                Place(place.pointer, self._bases.get(id(cast(object, schema)), place.base))
            )
        return known

    def inner(self, number: int, *steps: str | int) -> int:
        """Return the number of a nested schema.

        Args:
            number: The outer schema.
            steps: The keys and indices that lead to it.
        """
        place = self._places[number]
        value: Any = self.schemas[number]
        for step in steps:
            value = value[step]
        pointer = place.pointer + "".join(f"/{_escaped(step)}" for step in steps)
        return self.number(value, Place(pointer, place.base))

    def derived(self, schema: dict[str, Any], number: int, *steps: str | int) -> int:
        """Return the number of a schema that was built from part of another.

        Raises:
            ConstraintError: It is not a schema.
        """
        place = self._places[number]
        return self.number(schema, Place(self.at(number, *steps), place.base))

    def at(self, number: int, *steps: str | int) -> str:
        """Return the JSON pointer to a schema, or to a location in it."""
        return self._places[number].pointer + "".join(f"/{_escaped(step)}" for step in steps)

    def fail(self, number: int, why: str, *steps: str | int) -> ConstraintError:
        """Build the error for a part of a schema that cannot be enforced.

        Args:
            number: The schema.
            why: The keyword, and what is wrong with it.
            steps: The keys and indices that lead to the part.
        """
        return ConstraintError(f"{why} (at {shown(self.at(number, *steps))})")

    def resolve(self, number: int, word: str) -> int:
        """Return the number of the schema that a reference points to.

        Raises:
            ConstraintError: It points to nothing, or to another document.
        """
        schema = self.schemas[number]
        assert isinstance(schema, dict)
        reference = schema[word]
        if not isinstance(reference, str):
            raise self.fail(number, f"{word!r} is a string, not {reference!r:.40}", word)
        try:
            address, fragment = urldefrag(urljoin(self._places[number].base, reference))
        except ValueError as exc:
            raise self.fail(
                number, f"{word!r} {reference!r:.60} is not a URI: {exc}", word
            ) from exc
        if word == "$dynamicRef":
            return self._resolve_dynamic(number, reference, fragment)
        if address not in self._resources:
            raise self.fail(
                number,
                f"it follows no {word!r} to another document, as to {reference!r:.80}; put the "
                "schema under '$defs', and reference it as '#/$defs/...'",
                word,
            )
        found = self._lookup(address, fragment)
        if found is None:
            raise self.fail(
                number,
                f"{word!r} {reference!r:.60} points to nothing; put the schema under '$defs'",
                word,
            )
        value, pointer = found
        return self.number(value, Place(pointer, address))

    def _resolve_dynamic(self, number: int, reference: str, fragment: str) -> int:
        """Resolve a `$dynamicRef`, if it can only mean one schema."""
        named = self._dynamic.get(fragment, [])
        if len(named) != 1 or not reference.startswith("#"):
            raise self.fail(
                number,
                f"it cannot enforce '$dynamicRef' {reference!r:.40} unless exactly one "
                "'$dynamicAnchor' has that name; use '$ref'",
                "$dynamicRef",
            )
        value, pointer, base = named[0]
        return self.number(value, Place(pointer, base))

    def _lookup(self, address: str, fragment: str) -> tuple[Any, str] | None:
        root, pointer = self._resources[address]
        if fragment and not fragment.startswith("/"):
            return self._anchors.get((address, fragment))
        value = root
        for step in fragment.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            inside = _inside(value, key)
            if inside is None:
                return None
            value, pointer = inside[0], f"{pointer}/{_escaped(key)}"
        return value, pointer

    def _scan(self, document: Any) -> None:
        """Index all URIs and anchors."""
        self._resources[""] = (document, "")
        waiting: list[tuple[Any, str, str, int]] = [(document, "", "", 0)]
        while waiting:
            schema, pointer, base, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise ConstraintError(
                    f"it is nested deeper than {MAX_DEPTH} schemas (at {pointer[:60]}...); move "
                    "inner schemas to '$defs' and reference them"
                )
            base = self._register(schema, pointer, base)
            self._bases[id(schema)] = base
            for inner, steps in _inner_schemas(schema):
                waiting.append((inner, pointer + steps, base, depth + 1))

    def _register(self, schema: dict[str, Any], pointer: str, base: str) -> str:
        """Index the ids and anchors of a schema; return its base URI."""
        for word in ("$id", "id"):
            name = schema.get(word)
            if not isinstance(name, str) or (word == "id" and "$ref" in schema):
                continue
            try:
                address, fragment = urldefrag(urljoin(base, name))
            except ValueError:
                continue
            if name.startswith("#"):
                self._anchors[base, fragment] = (schema, pointer)
            else:
                base = address
                self._resources.setdefault(address, (schema, pointer))
            break
        for word in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := schema.get(word), str):
                self._anchors[base, name] = (schema, pointer)
                if word == "$dynamicAnchor":
                    self._dynamic.setdefault(name, []).append((schema, pointer, base))
        return base


def shown(pointer: str) -> str:
    """Format a JSON pointer for a message: `#` is the whole document."""
    return f"#{pointer}"


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _inside(value: Any, key: str) -> tuple[Any] | None:
    """Return the value at a key or index in a tuple, or `None` if there is none."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        is_index = key.isascii() and key.isdecimal() and len(key) < 9
        return (items[int(key)],) if is_index and int(key) < len(items) else None
    if isinstance(value, dict) and key in value:
        return (cast(dict[str, Any], value)[key],)
    return None


def _inner_schemas(schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the directly nested schemas, with the end of their pointers."""
    for word, value in schema.items():
        if word in _MAPPINGS and isinstance(value, dict):
            for key, inner in cast(dict[str, Any], value).items():
                if isinstance(inner, dict):
                    yield cast(dict[str, Any], inner), f"/{word}/{_escaped(key)}"
        elif word in _LISTS and isinstance(value, list):
            for i, inner in enumerate(cast(list[Any], value)):
                if isinstance(inner, dict):
                    yield cast(dict[str, Any], inner), f"/{word}/{i}"
        elif word in _SCHEMAS and isinstance(value, dict):
            yield cast(dict[str, Any], value), f"/{word}"
