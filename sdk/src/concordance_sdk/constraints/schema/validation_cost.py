"""An estimate of the cost of validating a document, for a validator without memoization.

Branching references let a small schema take years. A document is validated only if the cost is
bounded.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.document import Document

#: Maximum number of visits to a schema, about 0.1 s for a validator.
_MAX_VISITS = 100_000

#: Maximum number of visits at one value for `unevaluatedProperties`, which repeats them.
_MAX_SPREAD = 500

#: Maximum number of (schema, value) pairs to count.
_MAX_PAIRS = 50_000

#: Number of schemas in each cache.
_CACHE_SIZE = 128

_ONE = ("not", "if", "then", "else", "extends")
_SEVERAL = ("allOf", "anyOf", "oneOf", "extends")
_BY_KEY = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OF_MEMBERS = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "additionalItems", "contains", "unevaluatedItems")


def is_bounded(schema: str, value: Any) -> bool:
    """True if a document is validated in a short time.

    Args:
        schema: The schema, as JSON text.
        value: The document.

    Examples:
        >>> is_bounded('{"items": {"$ref": "#"}}', [[], [[]]])
        True
    """
    if not any(f'"{word}"' in schema for word in _REFERENCES):
        return True  # linear in the schema and in the document
    try:
        document = _document_of(schema)
        if "unevaluated" in schema and not _is_narrow(schema):
            return False
        return _Cost(document).of(document.root, value) < _MAX_VISITS
    except (ConstraintError, RecursionError):
        return False


@functools.lru_cache(_CACHE_SIZE)
def _document_of(schema: str) -> Document:
    return Document(json.loads(schema))


@functools.lru_cache(_CACHE_SIZE)
def _is_narrow(schema: str) -> bool:
    """True if few schemas apply to any one value."""
    document = _document_of(schema)
    cost = _Cost(document)
    waiting = [document.root]
    for number in waiting:  # `waiting` grows during iteration
        if cost.of(number, None) > _MAX_SPREAD:
            return False
        found = {*_in_place(document, number), *_children(document, number)}
        waiting += sorted(found.difference(waiting))
    return True


class _Cost:
    """Counts visits to the schemas of a document, memoized by schema and value."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[int, int], int] = {}

    def of(self, number: int, value: Any) -> int:
        """Return the number of visits for a value, at most `_MAX_VISITS`."""
        pair = (number, id(value))
        if pair not in self._known:
            if len(self._known) >= _MAX_PAIRS:
                return _MAX_VISITS
            self._known[pair] = 1  # in case of recursion
            self._known[pair] = min(_MAX_VISITS, 1 + self._inside(number, value))
        return self._known[pair]

    def _inside(self, number: int, value: Any) -> int:
        visits = sum(self.of(inner, value) for inner in _in_place(self._document, number))
        if isinstance(value, dict):
            members = cast(dict[str, Any], value)
            visits += sum(
                self.of(inner, members[key])
                for key in members
                for inner in _of_member(self._document, number, key)
            )
        elif isinstance(value, list):
            visits += sum(
                self.of(inner, item)
                for i, item in enumerate(cast(list[Any], value))
                for inner in _of_item(self._document, number, i)
            )
        return visits


def _in_place(document: Document, number: int) -> Iterator[int]:
    """Yield the subschemas that apply to the same value."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    for word in _REFERENCES:
        if word in schema:
            yield document.root if word == "$recursiveRef" else document.resolve(number, word)
    for word in _ONE:
        if isinstance(schema.get(word), dict):
            yield document.inner(number, word)
    for word in _SEVERAL:
        if isinstance(schema.get(word), list):
            yield from (document.inner(number, word, i) for i in range(len(schema[word])))
    for word in _BY_KEY:
        for key, inner in _mapping(schema, word).items():
            if isinstance(inner, dict):
                yield document.inner(number, word, key)


def _of_member(document: Document, number: int, key: str) -> Iterator[int]:
    """Yield the subschemas that apply to a member of an object, as if all patterns matched."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    if key in _mapping(schema, "properties"):
        yield document.inner(number, "properties", key)
    for pattern in _mapping(schema, "patternProperties"):
        yield document.inner(number, "patternProperties", pattern)
    yield from _single(document, number, _OF_MEMBERS)


def _of_item(document: Document, number: int, index: int) -> Iterator[int]:
    """Yield the subschemas that apply to an item of an array."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    for word in ("prefixItems", "items"):
        listed: Any = schema.get(word)
        if isinstance(listed, list) and index < len(cast(list[Any], listed)):
            yield document.inner(number, word, index)
    yield from _single(document, number, _OF_ITEMS)


def _children(document: Document, number: int) -> Iterator[int]:
    """Yield the subschemas that apply to any member or item."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    for word in ("properties", "patternProperties"):
        yield from (document.inner(number, word, key) for key in _mapping(schema, word))
    for word in ("prefixItems", "items"):
        if isinstance(schema.get(word), list):
            yield from (document.inner(number, word, i) for i in range(len(schema[word])))
    yield from _single(document, number, (*_OF_MEMBERS, *_OF_ITEMS))


def _single(document: Document, number: int, words: tuple[str, ...]) -> Iterator[int]:
    schema = document.schemas[number]
    assert isinstance(schema, dict)
    for word in words:
        if isinstance(schema.get(word), dict):
            yield document.inner(number, word)


def _mapping(schema: dict[str, Any], word: str) -> dict[str, Any]:
    value: Any = schema.get(word)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
