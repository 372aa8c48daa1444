"""References, and the keywords of types and values."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any, cast

from concordance_sdk.constraints.schema.keywords.reader import (
    Assertion,
    Keywords,
    decimal_of,
    is_double,
)
from concordance_sdk.constraints.schema.numbers import Interval
from concordance_sdk.constraints.schema.shapes import (
    ALL,
    NONE,
    TYPES,
    Boolean,
    Cases,
    Null,
    Text,
    only,
    union,
)

_TYPE_NAMES = "string, number, integer, boolean, null, array, object"


def reference_assertion(word: str) -> Callable[[Keywords], Assertion]:
    """Build the assertion of a reference."""

    def assertion(words: Keywords) -> Assertion:
        if word == "$recursiveRef":
            raise words.fail(word, "cannot be enforced; use '$ref'")
        target = words.document.resolve(words.number, word)
        return lambda is_positive: words.meaning.literal(target, is_positive)

    return assertion


def type_assertion(words: Keywords) -> Assertion:
    """Build the assertion of `type`."""
    given: Any = words.schema["type"]
    names = cast(list[Any], given) if isinstance(given, list) else [given]
    kinds = [_of_type(words, i, name) for i, name in enumerate(names)]

    def assertion(is_positive: bool) -> Cases:  # noqa: FBT001
        if is_positive:
            return union(*(kind(True) for kind in kinds))  # noqa: FBT003
        return words.meaning.intersect_all(kind(False) for kind in kinds)  # noqa: FBT003

    return assertion


def _of_type(words: Keywords, index: int, name: Any) -> Assertion:
    if isinstance(name, dict):  # of draft 3
        inner = words.inner("type", index)
        return lambda is_positive: words.meaning.literal(inner, is_positive)
    if name == "any":
        return lambda is_positive: ALL if is_positive else NONE
    if name == "integer":
        return lambda is_positive: (
            only("number", Interval(is_integer=True))
            if is_positive
            else Cases({**ALL.shapes, "number": ()}, is_exact=False)
        )
    if name not in TYPES:
        raise words.fail("type", f"{name!r:.40} is not a type; the types are: {_TYPE_NAMES}")
    rest = [kind for kind in TYPES if kind != name]
    return lambda is_positive: ALL.of(name) if is_positive else ALL.of(*rest)


def values_assertion(word: str) -> Callable[[Keywords], Assertion]:
    """Build the assertion of `const` or `enum`."""

    def assertion(words: Keywords) -> Assertion:
        values: Any = words.schema[word] if word == "enum" else [words.schema[word]]
        if not isinstance(values, list):
            raise words.fail(word, f"is a list of values, not {values!r:.40}")
        given = cast(list[Any], values)
        return lambda is_positive: (
            _one_of(words, word, given) if is_positive else _none_of(words, word, given)
        )

    return assertion


def _one_of(words: Keywords, word: str, values: list[Any]) -> Cases:
    texts = frozenset(value for value in values if isinstance(value, str))
    booleans = frozenset(value for value in values if isinstance(value, bool))
    shapes: dict[str, tuple[Any, ...]] = {
        "null": (Null(),) if None in values else (),
        "boolean": (Boolean(booleans),) if booleans else (),
        "string": (Text(texts),) if texts else (),
        "number": tuple(dict.fromkeys(Interval(n, n) for n in _numbers(words, word, values))),
    }
    derived = [_derived(words, word, value) for value in values if isinstance(value, list | dict)]
    return union(Cases(shapes), *(words.meaning.literal(number, True) for number in derived))  # noqa: FBT003


def _none_of(words: Keywords, word: str, values: list[Any]) -> Cases:
    texts = frozenset(value for value in values if isinstance(value, str))
    booleans = frozenset(value for value in values if isinstance(value, bool))
    left = Boolean().values - booleans
    shapes: dict[str, tuple[Any, ...]] = {
        **ALL.shapes,
        "null": () if None in values else (Null(),),
        "boolean": (Boolean(left),) if left else (),
        "string": (Text(excluded=texts),),
        "number": tuple(_between(sorted(set(_numbers(words, word, values))))),
    }
    derived = [_derived(words, word, value) for value in values if isinstance(value, list | dict)]
    violated = (words.meaning.literal(number, False) for number in derived)  # noqa: FBT003
    return words.meaning.intersect_all([Cases(shapes), *violated])


def _numbers(words: Keywords, word: str, values: list[Any]) -> list[Decimal]:
    found: list[Decimal] = []
    for value in values:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not is_double(value):
                raise words.fail(word, f"must be JSON numbers, not {value!r}")
            found.append(decimal_of(value))
    return found


def _between(points: list[Decimal]) -> Iterator[Interval]:
    """Yield the open intervals between, below and above some points."""
    if not points:
        yield Interval()
        return
    yield Interval(high=points[0], is_high_open=True)
    for low, high in pairwise(points):
        yield Interval(low, high, is_low_open=True, is_high_open=True)
    yield Interval(low=points[-1], is_low_open=True)


def _derived(words: Keywords, word: str, value: Any) -> int:
    """Return the number of a schema that matches exactly one array or object."""
    if isinstance(value, list):
        items = cast(list[Any], value)
        schema: dict[str, Any] = {
            "type": "array",
            "prefixItems": [{"const": item} for item in items],
            "items": False,
            "minItems": len(items),
        }
        if not items:
            del schema["prefixItems"]
    else:
        members = cast(dict[str, Any], value)
        schema = {
            "type": "object",
            "properties": {key: {"const": inner} for key, inner in members.items()},
            "required": list(members),
            "additionalProperties": False,
        }
    return words.document.derived(schema, words.number, word)
