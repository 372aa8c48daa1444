"""Writes the grammar of the documents that match a schema.

`Reachable` expands every reachable conjunction and finds those with a finite document; `Writer`
writes a rule for each of these. A key, item or alternative without a finite document is omitted.
"""

from collections.abc import Iterator

from concordance_shared import ConstraintError

from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.numbers import Interval
from concordance_sdk.constraints.schema.reachable import Reachable, must_differ
from concordance_sdk.constraints.schema.rules import Rules, times
from concordance_sdk.constraints.schema.shapes import (
    Array,
    Boolean,
    Conjunction,
    Keys,
    Null,
    Object,
    Shape,
    Text,
    intersect_texts,
)
from concordance_sdk.constraints.schema.texts import expression_of, spelled_text
from concordance_sdk.constraints.schema.unique_places import unique_places


class Writer:
    """Writes the rules of one document."""

    def __init__(self, meaning: Meaning, root: Conjunction, spaces: Spaces) -> None:
        """Expand the conjunctions that are reachable from `root`.

        Raises:
            ConstraintError: A part cannot be enforced, or no finite document matches.
        """
        self._meaning = meaning
        self._root = root
        self._reachable = Reachable(meaning, root)
        self._rules = Rules(meaning.budget, spaces.item)
        self._item = self._rules.terminal(spaces.item)
        self._colon = self._rules.terminal(spaces.colon)
        self._open_array = self._rules.terminal(spaces.open_array)
        self._close_array = self._rules.terminal(spaces.close_array)
        self._open_object = self._rules.terminal(spaces.open_object)
        self._close_object = self._rules.terminal(spaces.close_object)

    def write(self) -> Definitions:
        """Return the grammar of the documents that match the root.

        Raises:
            ConstraintError: A part cannot be enforced, or the grammar is too large.
        """
        reachable, rules = self._reachable, self._rules
        name = rules.name(self._root)
        for conjunction in list(reachable.shapes):
            if conjunction in reachable.alive:
                self._write(conjunction)
        terminals = {name: expression for expression, name in rules.terminals.items()}
        places = unique_places(reachable, self._root, self._meaning.budget)
        return Definitions(terminals, rules.rules, name, places)

    def _write(self, conjunction: Conjunction) -> None:
        reachable = self._reachable
        shapes = [shape for shape in reachable.shapes[conjunction] if reachable.is_alive(shape)]
        try:
            self._write_shapes(conjunction, shapes)
        except ConstraintError as exc:
            raise reachable.located(exc, conjunction) from exc

    def _write_shapes(self, conjunction: Conjunction, shapes: list[Shape]) -> None:
        scalars: list[str] = []
        cases: list[str] = []
        for shape in shapes:
            for written in self._written(shape):
                is_rule = isinstance(shape, Array | Object) or written.startswith("%json")
                (cases if is_rule else scalars).append(written)
        cases = [self._rules.rule(case) if case.startswith("%json") else case for case in cases]
        cases = [*map(self._rules.terminal, scalars), *cases]
        self._rules.define(self._rules.name(conjunction), " | ".join(dict.fromkeys(cases)))

    def _written(self, shape: Shape) -> Iterator[str]:
        match shape:
            case Null():
                yield '"null"'
            case Boolean(values):
                yield from (f'"{str(value).lower()}"' for value in sorted(values))
            case Interval():
                written = self._reachable.number(shape)
                assert written is not None
                yield written
            case Text():
                written = expression_of(shape)
                assert written is not None
                yield written
            case Array():
                yield self._array(shape)
            case Object():
                yield self._object(shape)

    # -- arrays

    def _array(self, shape: Array) -> str:
        items = self._different(shape) if must_differ(shape) else None
        if items is None:
            items = self._items(shape)
        return f"{self._open_array} {items} {self._close_array}"

    def _items(self, shape: Array) -> str:
        """Write the items of an array, starting with the last one."""
        prefix, most = self._possible(shape)
        size = len(prefix)
        rest = self._repeated(shape, size, most)
        for i in range(size - 1, -1, -1):
            separator = f"{self._item} " if i else ""
            item = f"{separator}{self._rules.name(prefix[i])} {rest}".rstrip()
            rest = item if i < shape.least else self._rules.rule(f"({item})?")
        return rest

    def _possible(self, shape: Array) -> tuple[list[Conjunction], int | None]:
        """Return the leading items that are possible, and the maximum number of items."""
        most = shape.most
        prefix = list(shape.prefix if most is None else shape.prefix[:most])
        for i, inner in enumerate(prefix):
            if inner not in self._reachable.alive:
                return prefix[:i], i
        if most == len(prefix):
            return prefix, most
        if shape.rest not in self._reachable.alive:
            most = len(prefix)
        return prefix, most

    def _repeated(self, shape: Array, before: int, most: int | None) -> str:
        """Write the items after the prefix."""
        if most is not None and most <= before:
            return ""
        name = self._rules.name(shape.rest)
        least = max(shape.least - before, 0)
        upper = None if most is None else most - before
        if before:
            return f"({self._item} {name}){times(least, upper)}"
        repeated = times(max(least - 1, 0), None if upper is None else upper - 1)
        following = f"({self._item} {name}){repeated}"
        every = f"{name} {following}" if upper != 1 else name
        return every if least else f"({every})?"

    def _different(self, shape: Array) -> str | None:
        """Write unique items in the order of the schema; `None` if there are many values.

        Raises:
            ConstraintError: There are fewer values than `minItems`.
        """
        values = self._reachable.few_values(shape)
        if values is None:
            return None
        most = len(values) if shape.most is None else min(shape.most, len(values))
        entries = [(self._rules.terminal(value), False) for value in values]
        return self._rules.chain(entries, None, shape.least, most)

    # -- objects

    def _object(self, shape: Object) -> str:
        named = [
            (key, value)
            for key, value in shape.named
            if value in self._reachable.alive and self._reachable.is_key(shape.keys, key)
        ]
        entries = [
            (f"{self._key(key)} {self._colon} {self._rules.name(value)}", key in shape.required)
            for key, value in named
        ]
        members = self._rules.chain(entries, self._others(shape), shape.least, shape.most)
        return f"{self._open_object} {members} {self._close_object}"

    def _key(self, key: str) -> str:
        return self._rules.terminal(literal(spelled_text(key)).expression)

    def _others(self, shape: Object) -> str | None:
        """Write a member whose key is not named; `None` if there is none."""
        own = frozenset(key for key, _ in shape.named)
        members: list[str] = []
        for keys in shape.others:
            if keys.value not in self._reachable.alive:
                continue
            texts = self._other_keys(keys, own, shape.keys)
            if texts:
                key = self._rules.terminal(" | ".join(f"({text})" for text in texts))
                members.append(f"{key} {self._colon} {self._rules.name(keys.value)}")
        return self._rules.rule(" | ".join(members)) if members else None

    def _other_keys(self, keys: Keys, own: frozenset[str], demanded: Conjunction) -> list[str]:
        """Return the strings of keys, as terminal expressions."""
        found: list[str] = []
        text = Text(excluded=own, patterns=keys.patterns)
        for other in self._meaning.cases(demanded).shapes.get("string", ()):
            both = intersect_texts(text, other)
            if (
                both is not None
                and self._reachable.is_expressible(both)
                and (written := expression_of(both))
            ):
                found.append(written)
        return found
