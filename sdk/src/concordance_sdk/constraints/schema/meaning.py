"""What a schema means: its keywords, and their negations, as shapes of values.

What cannot be said may be left out where it is one of several alternatives: then fewer documents
are written, and none that breaks the schema. Where it is demanded, it is refused by name.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from concordance_shared import ConstraintError

from concordance_sdk.constraints.schema.budget import Budget
from concordance_sdk.constraints.schema.document import Document
from concordance_sdk.constraints.schema.keywords import parts, value_among
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
    both_arrays,
    both_booleans,
    both_numbers,
    both_texts,
    least_of,
    united,
)
from concordance_sdk.constraints.schema.texts import has_texts

#: Of more alternatives of one type, the rest is left out.
_MAX_ALTERNATIVES = 24

#: How many classes of keys patterns may make.
_MAX_CLASSES = 64

#: How deep is looked for a contradiction.
_MAX_LOOK = 4

#: Drafts in which what stands beside a `$ref` is ignored.
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")


class Meaning:
    """The meaning of the schemas of a document."""

    def __init__(self, document: Document, budget: Budget) -> None:
        """Begin, with nothing known.

        `draft` is the draft that the document names: 3, 4, 6, 7, 2019 or 2020.
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
        """What a value that follows all literals may be.

        Raises:
            ConstraintError: Something in them cannot be enforced.
        """
        known = self._cases.get(conjunction)
        if known is None:
            known = ALL
            for literal in sorted(conjunction, key=lambda literal: (not literal[1], literal[0])):
                known = self.both(known, self.literal(*literal))
            self._cases[conjunction] = known
        return known

    def literal(self, number: int, is_followed: bool) -> Cases:  # noqa: FBT001
        """What a value that follows a schema, or breaks it, may be.

        Raises:
            ConstraintError: Something in it cannot be enforced, or it refers to itself.
        """
        key = (number, is_followed)
        if key in self._literals:
            return self._literals[key]
        schema = self.document.schemas[number]
        if isinstance(schema, bool):
            return ALL if schema == is_followed else NONE
        if key in self._running:
            raise self.document.fail(number, "a '$ref' leads back to itself, with nothing between")
        self.budget.spend()
        self._running.add(key)
        try:
            found = self._positive(number) if is_followed else self._negative(number)
        finally:
            self._running.discard(key)
        self._literals[key] = found
        return found

    def _positive(self, number: int) -> Cases:
        found = ALL
        for part in parts(self, number):
            found = self.both(found, part(True))  # noqa: FBT003
        return found

    def _negative(self, number: int) -> Cases:
        demands = list(parts(self, number))
        schema = self.document.schemas[number]
        assert isinstance(schema, dict)
        if self._ignores_siblings and "$ref" in schema:
            return demands[0](False)  # noqa: FBT003
        return united(*(part(False) for part in demands)) if demands else NONE  # noqa: FBT003

    def every(self, cases: Iterable[Cases]) -> Cases:
        """What is of all cases."""
        found = ALL
        for case in cases:
            found = self.both(found, case)
        return found

    def both(self, one: Cases, other: Cases) -> Cases:
        """What is of both cases."""
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
            "boolean": both_booleans,
            "number": both_numbers,
            "string": both_texts,
            "array": both_arrays,
            "object": self.both_objects,
        }[kind]
        is_pruned = len(some) > 1 or len(others) > 1
        contained: set[Any] = set()  # of the others: those that one of `some` holds wholly
        for one in some:
            found: list[Any] = []
            for other in others:
                if other in contained:
                    continue
                self.budget.spend()
                shape = combine(one, other)
                if shape == one:  # what else it shares with others is in it
                    found = [one]
                    break
                if shape == other:
                    contained.add(other)
                if shape is not None and not (is_pruned and self._is_dead(shape)):
                    found.append(shape)
            yield from found

    def _is_dead(self, shape: Shape) -> bool:
        """Whether a required key of an object clearly has no value."""
        if not isinstance(shape, Object):
            return False
        return any(key in shape.required and self.is_empty(value, 1) for key, value in shape.named)

    def both_objects(self, one: Object, other: Object) -> Object | None:
        """The objects of both; `None` if there clearly are none."""
        ones, others_ = dict(one.named), dict(other.named)
        named: dict[str, Conjunction] = {}
        for key in (*ones, *(key for key in others_ if key not in ones)):
            first = ones[key] if key in ones else self._other_value(one, key)
            second = others_[key] if key in others_ else self._other_value(other, key)
            named[key] = self.joined(first, second)
        required = one.required | other.required
        if any(named.get(key, ANYTHING) >= NOTHING for key in required):
            return None
        others = self._both_keys(one.others, other.others)
        least, most = max(one.least, other.least), least_of(one.most, other.most)
        if most is not None and most < max(least, len(required)):
            return None
        return Object(tuple(named.items()), required, others, one.keys | other.keys, least, most)

    def _both_keys(self, one: tuple[Keys, ...], other: tuple[Keys, ...]) -> tuple[Keys, ...]:
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
        """What the value of a key follows in an object."""
        named = dict(shape.named)
        return named[key] if key in named else self._other_value(shape, key)

    def joined(self, one: Conjunction, other: Conjunction) -> Conjunction:
        """Both conjunctions, without what follows from the rest."""
        if one <= other or other <= one:
            return one | other
        every = one | other
        followed = [number for number, is_followed in every if is_followed]
        return frozenset(
            literal
            for literal in every
            if literal[1] or not any(self._exclude(literal[0], number) for number in followed)
        )

    def _exclude(self, one: int, other: int) -> bool:
        """Whether no value follows both of two schemas."""
        return one > 1 and self.is_empty(frozenset({(one, True), (other, True)}), 2)

    @staticmethod
    def _other_value(shape: Object, key: str) -> Conjunction:
        """What the value of a key without a schema of its own follows."""
        return value_among(shape.others, key)

    def is_empty(self, conjunction: Conjunction, depth: int = 0) -> bool:
        """Whether no value follows all literals, as far as can be seen without going deep."""
        if conjunction >= NOTHING:
            return True
        if depth > _MAX_LOOK:
            return False
        key = (conjunction, depth)
        if key not in self._empty:
            self._empty[key] = False  # where it is looked for inside of itself
            self._empty[key] = self._looks_empty(conjunction, depth)
        return self._empty[key]

    def _looks_empty(self, conjunction: Conjunction, depth: int) -> bool:
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
