"""The semantics of a schema: its keywords, and their negations, as shapes of values.

An inexpressible alternative is omitted: the grammar then generates fewer documents, but no invalid
one. An inexpressible requirement is rejected by name.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.document import Document
from concordance_sdk.constraints.schema.keywords.objects import value_among
from concordance_sdk.constraints.schema.keywords.table import assertions
from concordance_sdk.constraints.schema.patterns import compile_pattern
from concordance_sdk.constraints.schema.shapes import (
    ALL,
    ANYTHING,
    NONE,
    NOTHING,
    TYPES,
    Array,
    Cases,
    Conjunction,
    Keys,
    Literal,
    Object,
    Shape,
    Text,
    intersect_arrays,
    intersect_booleans,
    intersect_numbers,
    intersect_texts,
    least_of,
    union,
)
from concordance_sdk.constraints.schema.texts import has_texts

#: Maximum number of alternative shapes per type; further ones are omitted.
_MAX_ALTERNATIVES = 24

#: Maximum number of classes of keys, by the patterns that match them.
_MAX_CLASSES = 64

#: Maximum depth of the search for contradictions.
_MAX_SEARCH_DEPTH = 4

#: Drafts in which siblings of a `$ref` are ignored.
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")


class Meaning:
    """Computes and caches the possible values of the schemas of a document."""

    def __init__(self, document: Document, budget: Budget) -> None:
        """Create an empty cache.

        `draft` is the draft named by the document's `$schema`: 3, 4, 6, 7, 2019 or 2020.
        """
        self.document = document
        self.budget = budget
        self._literals: dict[Literal, Cases] = {}
        self._cases: dict[Conjunction, Cases] = {}
        self._running: set[Literal] = set()
        self._empty: dict[tuple[Conjunction, int], bool] = {}
        root = document.schemas[document.root]
        draft = str(root.get("$schema", "")) if isinstance(root, dict) else ""
        self._ignores_siblings = any(old in draft for old in _OLD_DRAFTS)
        known = re.search(r"draft[-/]0?(\d+)", draft)
        self.draft = int(known[1]) if known else 2020

    def cases(self, conjunction: Conjunction) -> Cases:
        """Return the values that match all literals of a conjunction.

        Raises:
            ConstraintError: A part cannot be enforced.
        """
        known = self._cases.get(conjunction)
        if known is None:
            known = ALL
            for literal in sorted(conjunction, key=lambda literal: (not literal[1], literal[0])):
                known = self.intersect(known, self.literal(*literal))
            self._cases[conjunction] = known
        return known

    def literal(self, number: int, is_positive: bool) -> Cases:  # noqa: FBT001
        """Return the values that match a schema, or those that violate it.

        Raises:
            ConstraintError: A part cannot be enforced, or the schema refers to itself.
        """
        key = (number, is_positive)
        if key in self._literals:
            return self._literals[key]
        schema = self.document.schemas[number]
        if isinstance(schema, bool):
            return ALL if schema == is_positive else NONE
        if key in self._running:
            raise self.document.fail(number, "a '$ref' leads back to itself, with nothing between")
        self.budget.spend()
        self._running.add(key)
        try:
            found = self._positive(number) if is_positive else self._negative(number)
        finally:
            self._running.discard(key)
        self._literals[key] = found
        return found

    def _positive(self, number: int) -> Cases:
        found = ALL
        for assertion in assertions(self, number):
            found = self.intersect(found, assertion(True))  # noqa: FBT003
        return found

    def _negative(self, number: int) -> Cases:
        negatable = list(assertions(self, number))
        schema = self.document.schemas[number]
        assert isinstance(schema, dict)
        if self._ignores_siblings and "$ref" in schema:
            return negatable[0](False)  # noqa: FBT003
        return union(*(assertion(False) for assertion in negatable)) if negatable else NONE  # noqa: FBT003

    def intersect_all(self, cases: Iterable[Cases]) -> Cases:
        """Intersect any number of cases."""
        found = ALL
        for case in cases:
            found = self.intersect(found, case)
        return found

    def intersect(self, one: Cases, other: Cases) -> Cases:
        """Intersect two cases."""
        if one is ALL or other is ALL:
            return other if one is ALL else one
        is_exact = one.is_exact and other.is_exact
        shapes: dict[str, tuple[Shape, ...]] = {}
        for kind in TYPES:
            some, others = one.shapes.get(kind, ()), other.shapes.get(kind, ())
            whole = ALL.shapes[kind]
            if whole in (some, others):
                shapes[kind] = others if some == whole else some
                continue
            pairs = self._pairs(kind, some, others)
            shapes[kind] = tuple(dict.fromkeys(pairs))
            most = max(_MAX_ALTERNATIVES, len(some), len(others))
            if len(shapes[kind]) > most:
                shapes[kind] = shapes[kind][:most]
                is_exact = False
        return Cases(shapes, is_exact)

    def _pairs(self, kind: str, some: tuple[Any, ...], others: tuple[Any, ...]) -> Iterator[Shape]:
        combine: Callable[[Any, Any], Any] = {
            "null": lambda one, _: one,
            "boolean": intersect_booleans,
            "number": intersect_numbers,
            "string": intersect_texts,
            "array": intersect_arrays,
            "object": self.intersect_objects,
        }[kind]
        is_pruned = len(some) > 1 or len(others) > 1
        contained: set[Any] = set()  # those in `others` that are a subset of one of `some`
        for one in some:
            found: list[Any] = []
            for other in others:
                if other in contained:
                    continue
                self.budget.spend()
                shape = combine(one, other)
                if shape == one:  # a subset of `other`, so no further pair adds to it
                    found = [one]
                    break
                if shape == other:
                    contained.add(other)
                if shape is not None and not (is_pruned and self._is_dead(shape)):
                    found.append(shape)
            yield from found

    def _is_dead(self, shape: Shape) -> bool:
        """True if a required key of an object clearly has no value."""
        if not isinstance(shape, Object):
            return False
        return any(key in shape.required and self.is_empty(value, 1) for key, value in shape.named)

    def intersect_objects(self, one: Object, other: Object) -> Object | None:
        """Intersect two shapes; `None` if the result is clearly empty."""
        ones, others_ = dict(one.named), dict(other.named)
        named: dict[str, Conjunction] = {}
        for key in (*ones, *(key for key in others_ if key not in ones)):
            first = ones[key] if key in ones else self._other_value(one, key)
            second = others_[key] if key in others_ else self._other_value(other, key)
            named[key] = self.conjoin(first, second)
        required = one.required | other.required
        if any(named.get(key, ANYTHING) >= NOTHING for key in required):
            return None
        others = self._intersect_keys(one.others, other.others)
        least, most = max(one.least, other.least), least_of(one.most, other.most)
        if most is not None and most < max(least, len(required)):
            return None
        return Object(tuple(named.items()), required, others, one.keys | other.keys, least, most)

    def _intersect_keys(self, one: tuple[Keys, ...], other: tuple[Keys, ...]) -> tuple[Keys, ...]:
        if one == other:
            return one
        self.budget.spend(len(one) * len(other))
        found = [
            Keys(a.patterns | b.patterns, a.value | b.value)
            for a in one
            for b in other
            if not any((pattern, not sign) in b.patterns for pattern, sign in a.patterns)
        ]
        if len(found) > max(len(one), len(other)):
            found = [keys for keys in found if self._has_keys(keys)]
        return tuple(found[:_MAX_CLASSES])

    def _has_keys(self, keys: Keys) -> bool:
        self.budget.check()
        return has_texts(Text(patterns=keys.patterns))

    def value_of(self, shape: Object, key: str) -> Conjunction:
        """Return the conjunction of the value of a key in an object."""
        named = dict(shape.named)
        return named[key] if key in named else self._other_value(shape, key)

    def conjoin(self, one: Conjunction, other: Conjunction) -> Conjunction:
        """Unite two conjunctions, without negated schemas that the others already exclude."""
        if one <= other or other <= one:
            return one | other
        every = one | other
        followed = [number for number, is_positive in every if is_positive]
        return frozenset(
            literal
            for literal in every
            if literal[1] or not any(self._exclude(literal[0], number) for number in followed)
        )

    def _exclude(self, one: int, other: int) -> bool:
        """True if no value matches both of two schemas."""
        return one > 1 and self.is_empty(frozenset({(one, True), (other, True)}), 2)

    @staticmethod
    def _other_value(shape: Object, key: str) -> Conjunction:
        """Return the conjunction of the value of a key that is not named."""
        return value_among(shape.others, key)

    def is_empty(self, conjunction: Conjunction, depth: int = 0) -> bool:
        """True if a bounded search shows that no value matches all literals."""
        if conjunction >= NOTHING:
            return True
        if depth > _MAX_SEARCH_DEPTH:
            return False
        key = (conjunction, depth)
        if key not in self._empty:
            self._empty[key] = False  # in case of recursion
            self._empty[key] = self._search_empty(conjunction, depth)
        return self._empty[key]

    def _search_empty(self, conjunction: Conjunction, depth: int) -> bool:
        try:
            cases = self.cases(conjunction)
        except ConstraintError:
            return False
        if not cases.is_exact:
            return False
        return all(
            self._has_none(shape, depth) for shapes in cases.shapes.values() for shape in shapes
        )

    def _has_none(self, shape: Shape, depth: int) -> bool:
        match shape:
            case Text(patterns=patterns) if patterns:
                exact = all(compile_pattern(pattern).is_exact for pattern, _ in patterns)
                return exact and not has_texts(shape)
            case Array(prefix, rest, least, _, _, contained):
                needed = [*prefix[:least], *([rest] if least > len(prefix) else []), *contained]
                return any(self.is_empty(inner, depth + 1) for inner in needed)
            case Object(named, required):
                values = dict(named)
                return any(
                    self.is_empty(self.value_of(shape, key), depth + 1)
                    for key in required
                    if key in values or shape.others != Object().others
                )
            case _:
                return False
