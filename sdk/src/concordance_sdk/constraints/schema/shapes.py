"""What a value may be, by its type, as conditions that a grammar can say.

A conjunction is a set of literals: a schema by its number, and whether the value follows it. What
is inside of an array or object is a conjunction, which is looked into when it is written.
"""

from collections import Counter
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from concordance_sdk.constraints.schema.numbers import Interval, intersected

Literal = tuple[int, bool]
Conjunction = frozenset[Literal]

#: What any value follows, and what none does.
ANYTHING: Conjunction = frozenset()
NOTHING: Conjunction = frozenset({(1, True)})

TYPES = ("null", "boolean", "number", "string", "array", "object")


class Null(Struct, frozen=True):
    """The value `null`."""


class Boolean(Struct, frozen=True):
    """`true`, `false` or both."""

    values: frozenset[bool] = frozenset({True, False})


class Text(Struct, frozen=True, cache_hash=True):
    """Texts."""

    values: frozenset[str] | None = None  # the only ones
    excluded: frozenset[str] = frozenset()
    patterns: frozenset[tuple[str, bool]] = frozenset()  # and whether they are found
    least: int = 0
    most: int | None = None


class Array(Struct, frozen=True, cache_hash=True):
    """Arrays."""

    prefix: tuple[Conjunction, ...] = ()
    rest: Conjunction = ANYTHING
    least: int = 0
    most: int | None = None
    is_unique: bool = False
    contained: tuple[Conjunction, ...] = ()  # each at a place of its own


class Keys(Struct, frozen=True, cache_hash=True):
    """The keys of an object that have no schema of their own, and what their values follow."""

    patterns: frozenset[tuple[str, bool]]  # and whether they are found in the key
    value: Conjunction


class Object(Struct, frozen=True, cache_hash=True):
    """Objects."""

    named: tuple[tuple[str, Conjunction], ...] = ()
    required: frozenset[str] = frozenset()
    others: tuple[Keys, ...] = (Keys(frozenset(), ANYTHING),)
    keys: Conjunction = ANYTHING  # what every key follows, as a text
    least: int = 0
    most: int | None = None


Shape = Null | Boolean | Interval | Text | Array | Object


class Cases(Struct, frozen=True):
    """What a value may be: one of some shapes of each type.

    Attributes:
        shapes: The shapes, by type.
        is_exact: Whether nothing was left out. What is left out could be written and is not.
    """

    shapes: dict[str, tuple[Any, ...]]
    is_exact: bool = True

    def of(self, *types: str) -> "Cases":
        """Those of some types only."""
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
LEFT_OUT = Cases({}, is_exact=False)


def but(kind: str, *shapes: Shape) -> Cases:
    """Anything, but of one type only some shapes."""
    return Cases({**ALL.shapes, kind: shapes})


def only(kind: str, *shapes: Shape) -> Cases:
    """Some shapes of one type, and nothing else."""
    return Cases({kind: shapes})


def united(*cases: Cases) -> Cases:
    """What is one of some cases or another."""
    shapes = {
        kind: tuple(dict.fromkeys(shape for case in cases for shape in case.shapes.get(kind, ())))
        for kind in TYPES
    }
    for kind, whole in ALL.shapes.items():
        if whole[0] in shapes[kind]:
            shapes[kind] = whole
    return Cases(shapes, all(case.is_exact for case in cases))


def both_texts(one: Text, other: Text) -> Text | None:
    """The texts of both; `None` if there clearly are none."""
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


def both_arrays(one: Array, other: Array) -> Array | None:
    """The arrays of both; `None` if there clearly are none."""
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
    """What both arrays contain, each as often as the one that has it more often."""
    every = Counter(one) | Counter(other)
    return tuple(every.elements())


def least_of(one: int | None, other: int | None) -> int | None:
    """The smaller of two upper bounds."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def both_booleans(one: Boolean, other: Boolean) -> Boolean | None:
    """The booleans of both."""
    values = one.values & other.values
    return Boolean(values) if values else None


def both_numbers(one: Interval, other: Interval) -> Interval | None:
    """The numbers of both."""
    return intersected(one, other)
