"""Keywords that a grammar cannot express: removed from the schema, and checked afterwards.

Knows no tokens: a schema and a document in, problems as texts out. Removing and checking traverse a
schema in the same way, so that nothing is removed that is not checked.
"""

import re
from collections.abc import Iterator
from typing import Any

from following import Follows, Schema, alternatives, follows, identity, joined, parts, resolved

#: The keywords that are checked when a document is complete.
CHECKED = ("uniqueItems", "dependentRequired")

#: Keywords whose value is a schema, a list of schemas, or a mapping from names to schemas. The
#: values of others are left unchanged, for the grammar to reject.
_OF_ONE = ("items", "additionalItems", "additionalProperties")
_OF_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions")


def without_checked(schema: Any) -> Any:
    """Return the schema without the keywords that are checked afterwards.

    If not everything can be checked, nothing is removed, and the grammar rejects the schema.

    Example:
        >>> without_checked({"type": "array", "uniqueItems": True})
        {'type': 'array'}
    """
    return _stripped(schema) if _can_be_checked(schema) else schema


def _stripped(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return {word: _within(word, value) for word, value in schema.items() if word not in CHECKED}


def _within(word: str, value: Any) -> Any:
    if word in _OF_NAMES and isinstance(value, dict):
        return {name: _stripped(each) for name, each in value.items()}
    if word in _OF_LISTS and isinstance(value, list):
        return [_stripped(each) for each in value]
    return _stripped(value) if word in _OF_ONE else value


def _can_be_checked(schema: Any) -> bool:
    """True if every reference resolves and every pattern of names compiles."""
    try:
        for each in _mappings_in(schema):
            if isinstance(each.get("$ref"), str):
                resolved(each["$ref"], schema)
            if each is not schema and isinstance(each.get("$id"), str):
                return False  # references inside it resolve differently
            for pattern in each.get("patternProperties") or ():
                re.compile(pattern)
    except (LookupError, TypeError, re.error):
        return False
    return True


def _mappings_in(value: Any) -> Iterator[Schema]:
    """A mapping and all mappings in it, schemas or not."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _mappings_in(inner)


def problems(document: Any, schema: Any, root: Schema, place: str = "$") -> Iterator[str]:
    """Yield what is wrong with a document that follows the grammar.

    Example:
        >>> schema = {"type": "array", "uniqueItems": True}
        >>> list(problems([1, 2, 1], schema, schema))
        ['$ has 1 twice']
    """
    if not isinstance(schema, dict):
        return
    if isinstance(document, list) and schema.get("uniqueItems"):
        yield from _twice(document, place)
    if isinstance(document, dict):
        yield from _alone(document, schema.get("dependentRequired", {}), place)
    for where, value, part in parts(document, schema):
        yield from problems(value, part, root, f"{place}{where}")
    for each in joined(schema, root):
        yield from problems(document, each, root, place)
    for cases in alternatives(schema):
        yield from _wrong_in_all(document, cases, root, place)


def _twice(document: list[Any], place: str) -> Iterator[str]:
    seen: set[Any] = set()
    for item in document:
        if identity(item) in seen:
            yield f"{place} has {item!r} twice"
        seen.add(identity(item))


def _alone(document: Schema, needed: dict[str, list[str]], place: str) -> Iterator[str]:
    for name, others in needed.items():
        for other in others:
            if name in document and other not in document:
                yield f"{place} has {name!r} without {other!r}"


def _wrong_in_all(document: Any, cases: list[Any], root: Schema, place: str) -> Iterator[str]:
    """Yield what is wrong if the document follows none of several schemas.

    The grammar guarantees that it follows one of them, apart from the checked keywords. If it is
    uncertain which, it has to be valid by each that it may follow.
    """
    rated = [(each, follows(document, each, root)) for each in cases]
    found = [(sure, list(problems(document, each, root, place))) for each, sure in rated if sure]
    if (Follows.YES, []) not in found:
        yield from next((wrong for _, wrong in found if wrong), [])
