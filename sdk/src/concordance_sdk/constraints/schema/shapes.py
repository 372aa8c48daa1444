"""The possible values of each type, as conditions that a grammar can express.

A literal is a schema, by number, and True if a value matches it or False if it violates it. A
conjunction is a set of literals. The parts of an array or object are conjunctions, which are
expanded only when the grammar is written.
"""

from collections import Counter
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from concordance_sdk.constraints.schema.numbers import Interval, intersect_intervals

Literal = tuple[int, bool]
Conjunction = frozenset[Literal]

#: The conjunction that every value matches, and the one that no value matches.
ANYTHING: Conjunction = frozenset()
NOTHING: Conjunction = frozenset({(1, True)})

TYPES = ("null", "boolean", "number", "string", "array", "object")


class Null(Struct, frozen=True):
    """The value `null`."""


class Boolean(Struct, frozen=True):
    """`true`, `false` or both."""

    values: frozenset[bool] = frozenset({True, False})


class Text(Struct, frozen=True, cache_hash=True):
    """Strings."""

    values: frozenset[str] | None = None  # if given, the only ones
    excluded: frozenset[str] = frozenset()
    patterns: frozenset[tuple[str, bool]] = frozenset()  # True if it must match, False if not
    least: int = 0
    most: int | None = None


class Array(Struct, frozen=True, cache_hash=True):
    """Arrays."""

    prefix: tuple[Conjunction, ...] = ()
    rest: Conjunction = ANYTHING
    least: int = 0
    most: int | None = None
    is_unique: bool = False
    contained: tuple[Conjunction, ...] = ()  # each at a different index


class Keys(Struct, frozen=True, cache_hash=True):
    """Keys of an object that are not named in the schema, and the conjunction of their values."""

    patterns: frozenset[tuple[str, bool]]  # True if it must match the key, False if not
    value: Conjunction


class Object(Struct, frozen=True, cache_hash=True):
    """Objects."""

    named: tuple[tuple[str, Conjunction], ...] = ()
    required: frozenset[str] = frozenset()
    others: tuple[Keys, ...] = (Keys(frozenset(), ANYTHING),)
    keys: Conjunction = ANYTHING  # applies to every key, as a string
    least: int = 0
    most: int | None = None


Shape = Null | Boolean | Interval | Text | Array | Object


class Cases(Struct, frozen=True):
    """The possible shapes of a value.

    Attributes:
        shapes: Type -> alternative shapes.
        is_exact: False if some valid values are omitted.
    """

    shapes: dict[str, tuple[Any, ...]]
    is_exact: bool = True

    def of(self, *types: str) -> "Cases":
        """Restrict to some types."""
        return Cases({kind: self.shapes.get(kind, ()) for kind in types}, self.is_exact)


ALL = Cases(
    {
        "null": (Null(),),
        "boolean": (Boolean(),),
        "number": (Interval(),),
        "string": (Text(),),
        "array": (Array(),),
        "object": (Object(),),
    }
)
NONE = Cases({})
OMITTED = Cases({}, is_exact=False)


def restrict(kind: str, *shapes: Shape) -> Cases:
    """Return all values, except that those of one type must have one of some shapes."""
    return Cases({**ALL.shapes, kind: shapes})


def only(kind: str, *shapes: Shape) -> Cases:
    """Return the values of one type that have one of some shapes."""
    return Cases({kind: shapes})


def union(*cases: Cases) -> Cases:
    """Return the union of some cases."""
    shapes = {
        kind: tuple(dict.fromkeys(shape for case in cases for shape in case.shapes.get(kind, ())))
        for kind in TYPES
    }
    for kind, whole in ALL.shapes.items():
        if whole[0] in shapes[kind]:
            shapes[kind] = whole
    return Cases(shapes, all(case.is_exact for case in cases))


def intersect_texts(one: Text, other: Text) -> Text | None:
    """Intersect two shapes; `None` if the result is clearly empty."""
    values = one.values if other.values is None else other.values
    if one.values is not None and other.values is not None:
        values = one.values & other.values
    excluded = one.excluded | other.excluded
    least, most = max(one.least, other.least), least_of(one.most, other.most)
    if values is not None:
        kept = (text for text in values - excluded if least <= len(text))
        values = frozenset(text for text in kept if most is None or len(text) <= most)
        excluded = frozenset[str]()
    patterns = one.patterns | other.patterns
    is_contradiction = any((pattern, not found) in patterns for pattern, found in patterns)
    is_empty = values is not None and not values
    if is_contradiction or is_empty or (most is not None and most < least):
        return None
    return Text(values, excluded, patterns, least, most)


def intersect_arrays(one: Array, other: Array) -> Array | None:
    """Intersect two shapes; `None` if the result is clearly empty."""
    pairs = zip_longest(one.prefix, other.prefix)
    prefix = tuple(
        (one.rest if a is None else a) | (other.rest if b is None else b) for a, b in pairs
    )
    least, most = max(one.least, other.least), least_of(one.most, other.most)
    if most is not None and most < least:
        return None
    return Array(
        prefix,
        one.rest | other.rest,
        least,
        most,
        one.is_unique or other.is_unique,
        _contained(one.contained, other.contained),
    )


def _contained(
    one: tuple[Conjunction, ...], other: tuple[Conjunction, ...]
) -> tuple[Conjunction, ...]:
    """Merge the `contains` of two arrays; each conjunction as often as in the one with more."""
    every = Counter(one) | Counter(other)
    return tuple(every.elements())


def least_of(one: int | None, other: int | None) -> int | None:
    """Return the smaller of two upper bounds."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def intersect_booleans(one: Boolean, other: Boolean) -> Boolean | None:
    """Intersect two shapes."""
    values = one.values & other.values
    return Boolean(values) if values else None


def intersect_numbers(one: Interval, other: Interval) -> Interval | None:
    """Intersect two shapes."""
    return intersect_intervals(one, other)
