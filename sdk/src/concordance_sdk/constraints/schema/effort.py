"""How much a validator has to do that remembers nothing of what it has seen.

References that branch let a small schema ask for years of it. A document is judged only where that
is bounded.
"""

import functools
import json
from collections.abc import Iterator
from typing import Any, cast

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.document import Document

#: So many looks into a schema take a validator some 0.1 s.
_MAX_LOOKS = 100_000

#: Of so many schemas at one place, `unevaluatedProperties` makes no more than that.
_MAX_SPREAD = 500

#: How many pairs of a schema and a value are counted.
_MAX_PAIRS = 50_000

#: For how many schemas it is remembered where theirs stand.
_REMEMBERED = 128

_ONE = ("not", "if", "then", "else", "extends")
_SEVERAL = ("allOf", "anyOf", "oneOf", "extends")
_BY_KEY = ("dependentSchemas", "dependencies")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_OF_MEMBERS = ("additionalProperties", "unevaluatedProperties")
_OF_ITEMS = ("items", "additionalItems", "contains", "unevaluatedItems")


def is_bounded(schema: str, value: Any) -> bool:
    """Whether a validator judges a document in short time.

    Args:
        schema: The schema, as JSON text.
        value: The document.

    Examples:
        >>> is_bounded('{"items": {"$ref": "#"}}', [[], [[]]])
        True
    """
    if not any(f'"{word}"' in schema for word in _REFERENCES):
        return True  # as much as the schema times the document
    try:
        document = _document_of(schema)
        if "unevaluated" in schema and not _is_narrow(schema):
            return False
        return _Effort(document).of(document.root, value) < _MAX_LOOKS
    except (ConstraintError, RecursionError):
        return False


@functools.lru_cache(_REMEMBERED)
def _document_of(schema: str) -> Document:
    return Document(json.loads(schema))


@functools.lru_cache(_REMEMBERED)
def _is_narrow(schema: str) -> bool:
    """Whether few schemas lead to each other at one place, wherever that is."""
    document = _document_of(schema)
    effort = _Effort(document)
    waiting = [document.root]
    for number in waiting:  # grows while it is read
        if effort.of(number, None) > _MAX_SPREAD:
            return False
        found = {*_beside(document, number), *_below(document, number)}
        waiting += sorted(found.difference(waiting))
    return True


class _Effort:
    """Counts the looks into the schemas of a document, each pair of schema and value once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._known: dict[tuple[int, int], int] = {}

    def of(self, number: int, value: Any) -> int:
        """How many looks a value takes, up to the largest number that matters."""
        pair = (number, id(value))
        if pair not in self._known:
            if len(self._known) >= _MAX_PAIRS:
                return _MAX_LOOKS
            self._known[pair] = 1  # where it leads back to itself
            self._known[pair] = min(_MAX_LOOKS, 1 + self._inside(number, value))
        return self._known[pair]

    def _inside(self, number: int, value: Any) -> int:
        looks = sum(self.of(inner, value) for inner in _beside(self._document, number))
        if isinstance(value, dict):
            members = cast(dict[str, Any], value)
            looks += sum(
                self.of(inner, members[key])
                for key in members
                for inner in _of_member(self._document, number, key)
            )
        elif isinstance(value, list):
            looks += sum(
                self.of(inner, item)
                for i, item in enumerate(cast(list[Any], value))
                for inner in _of_item(self._document, number, i)
            )
        return looks


def _beside(document: Document, number: int) -> Iterator[int]:
    """The schemas that a schema holds the same value to."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    for word in _REFERENCES:
        if word in schema:
            yield document.root if word == "$recursiveRef" else document.referred(number, word)
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
    """The schemas that a schema holds the value of a key to; of patterns, all."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    if key in _mapping(schema, "properties"):
        yield document.inner(number, "properties", key)
    for pattern in _mapping(schema, "patternProperties"):
        yield document.inner(number, "patternProperties", pattern)
    yield from _single(document, number, _OF_MEMBERS)


def _of_item(document: Document, number: int, index: int) -> Iterator[int]:
    """The schemas that a schema holds an item to."""
    schema = document.schemas[number]
    if isinstance(schema, bool):
        return
    for word in ("prefixItems", "items"):
        listed: Any = schema.get(word)
        if isinstance(listed, list) and index < len(cast(list[Any], listed)):
            yield document.inner(number, word, index)
    yield from _single(document, number, _OF_ITEMS)


def _below(document: Document, number: int) -> Iterator[int]:
    """The schemas that a schema holds what is inside of a value to."""
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
