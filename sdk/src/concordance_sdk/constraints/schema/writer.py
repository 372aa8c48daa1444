"""Writes the grammar of the documents that match a schema.

In three passes: expand every reachable conjunction, find those with a finite document, and write a
rule for each of these. A key, item or alternative without a finite document is omitted.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from concordance_shared import ConstraintError
from msgspec.structs import replace

from concordance_sdk.constraints.byte_grammar import NO_TEXT, fault_of
from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.definitions import Definitions, Spaces
from concordance_sdk.constraints.schema.document import shown
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.numbers import Interval, expression
from concordance_sdk.constraints.schema.places import Kind, Members, Places
from concordance_sdk.constraints.schema.shapes import (
    Array,
    Boolean,
    Cases,
    Conjunction,
    Keys,
    Null,
    Object,
    Shape,
    Text,
    intersect_texts,
)
from concordance_sdk.constraints.schema.texts import (
    expression_of,
    fault_in,
    grammar_of,
    has_text,
    is_writable,
    spelled_text,
)

#: Maximum number of rules of a grammar.
_MAX_RULES = 20_000

#: Maximum number of states for counting the members of an object.
_MAX_COUNTED = 4000

#: Arrays of unique items of up to this many values list them in the order of the schema.
_MAX_ORDERED = 200


class Writer:
    """Writes the rules of one document."""

    def __init__(self, meaning: Meaning, spaces: Spaces) -> None:
        """Create an empty grammar."""
        self._meaning = meaning
        self._spaces = spaces
        self._terminals: dict[str, str] = {}  # expression -> name
        self._rules: dict[str, str] = {}  # name -> expression
        self._known_rules: dict[str, str] = {}  # expression -> name, except conjunctions
        self._names: dict[Conjunction, str] = {}
        self._shapes: dict[Conjunction, list[Shape]] = {}
        self._alive: set[Conjunction] = set()
        self._has_omitted = False  # strings whose automaton is too large
        self._item = self._terminal(spaces.item)
        self._colon = self._terminal(spaces.colon)
        self._open_array = self._terminal(spaces.open_array)
        self._close_array = self._terminal(spaces.close_array)
        self._open_object = self._terminal(spaces.open_object)
        self._close_object = self._terminal(spaces.close_object)

    def write(self, root: Conjunction) -> Definitions:
        """Return the grammar of the documents that match a conjunction.

        Raises:
            ConstraintError: A part cannot be enforced, or no finite document matches.
        """
        self._explore(root)
        self._find_alive()
        if root not in self._alive:
            raise ConstraintError(self._why_empty(root))
        name = self._name(root)
        for conjunction in list(self._shapes):
            if conjunction in self._alive:
                self._write(conjunction)
        terminals = {name: expression for expression, name in self._terminals.items()}
        return Definitions(terminals, self._rules, name, self._unique_places(root))

    # -- reachable conjunctions, and those with a finite document

    def _explore(self, root: Conjunction) -> None:
        waiting = [root]
        while waiting:
            conjunction = waiting.pop()
            if conjunction in self._shapes:
                continue
            self._meaning.budget.spend()
            cases = self._meaning.cases(conjunction)
            try:
                shapes = [
                    concrete
                    for shape in _every(cases)
                    for concrete in _without_contains(shape)
                    if self._has_own(concrete)
                ]
            except ConstraintError as exc:
                raise self._located(exc, conjunction) from exc
            self._shapes[conjunction] = shapes
            waiting += [inner for shape in shapes for inner in _inside(shape)]

    def _has_own(self, shape: Shape) -> bool:
        """True if a shape has values, regardless of its items and members."""
        match shape:
            case Text():
                return self._is_expressible(shape)
            case Interval():
                return self._number(shape) is not None
            case Object(required=required):
                return all(self._is_key(shape.keys, key) for key in required)
            case _:
                return True

    def _is_expressible(self, text: Text) -> bool:
        """True if strings can be written. Those whose automaton is too large are omitted."""
        fault = fault_in(text)
        self._has_omitted |= bool(fault) and fault != NO_TEXT
        return not fault

    def _number(self, interval: Interval) -> str | None:
        written = expression(interval)
        if written is None or interval.point is not None or interval == Interval():
            return written
        if written.startswith("%json"):
            return self._checked_arithmetic(written)
        return None if fault_of(grammar_of(written)) else written

    @staticmethod
    def _checked_arithmetic(arithmetic: str) -> str | None:
        """Return multiples by llguidance's arithmetic; `None` if there are none.

        Raises:
            ConstraintError: llguidance does not support them.
        """
        fault = fault_of(json.dumps({"grammars": [{"lark_grammar": f"start: {arithmetic}"}]}))
        if fault and fault != NO_TEXT:
            raise ConstraintError(
                "'multipleOf' needs multiples that are no sums of powers of 2 and 5, and has too "
                "many digits for that; round it, or remove it"
            )
        return None if fault else arithmetic

    def _find_alive(self) -> None:
        """Find the conjunctions with a finite document, from the innermost outwards."""
        users: dict[Conjunction, list[Conjunction]] = {}
        for conjunction, shapes in self._shapes.items():
            for inner in {inner for shape in shapes for inner in _inside(shape)}:
                users.setdefault(inner, []).append(conjunction)
        waiting = list(self._shapes)
        while waiting:
            conjunction = waiting.pop()
            if conjunction in self._alive:
                continue
            if any(self._is_alive(shape) for shape in self._shapes[conjunction]):
                self._alive.add(conjunction)
                waiting += users.get(conjunction, [])

    def _is_alive(self, shape: Shape) -> bool:
        match shape:
            case Array(prefix, rest, least):
                needed = [*prefix[:least], *([rest] if least > len(prefix) else [])]
                return all(inner in self._alive for inner in needed) and self._has_enough(shape)
            case Object(named, required):
                return all(value in self._alive for key, value in named if key in required)
            case _:
                return True

    def _has_enough(self, shape: Array) -> bool:
        """True if an array with `uniqueItems` has enough different values."""
        values = self._few(shape) if must_differ(shape) else None
        return values is None or len(values) >= shape.least

    def _why_empty(self, root: Conjunction) -> str:
        """Explain why a conjunction has no finite document; names its innermost cause."""
        here, seen = root, set[Conjunction]()
        while here not in seen:
            seen.add(here)
            dead = (
                inner
                for shape in self._shapes[here]
                for inner in _inside(shape)
                if inner not in self._alive and not self._is_alive(shape)
            )
            here = next(dead, here)
        words, at = self._described(here)
        if self._has_omitted:
            return (
                f"the automaton of what matches {words} is too large; shorten the patterns that "
                f"apply together (at {at})"
            )
        return f"no finite document matches {words} (at {at})"

    def _located(self, error: ConstraintError, conjunction: Conjunction) -> ConstraintError:
        """Add the location of the keyword named by an error."""
        found = re.search(r"'(\w+)'", error.message)
        word = found[1] if found else ""
        document = self._meaning.document
        waiting = sorted(number for number, is_positive in conjunction if is_positive)
        for number in waiting:  # `waiting` grows during iteration
            schema = document.schemas[number]
            if isinstance(schema, bool):
                continue
            if word in schema:
                return with_location(error, shown(document.at(number, word)))
            inner = [document.resolve(number, "$ref")] if "$ref" in schema else []
            for several in ("allOf", "anyOf", "oneOf"):
                listed: Any = schema.get(several, ())
                inner += [document.inner(number, several, i) for i in range(len(listed))]
            waiting += [number for number in inner if number not in waiting]
        return with_location(error, self._described(conjunction)[1])

    def _described(self, conjunction: Conjunction) -> tuple[str, str]:
        """Return the keywords of a conjunction's first schema, and its location."""
        document = self._meaning.document
        numbers = sorted(number for number, is_positive in conjunction if is_positive)
        number = numbers[0] if numbers else document.root
        schema = document.schemas[number]
        if isinstance(schema, bool) or not schema:
            return "it", shown(document.at(number))
        words = [word for word in schema if word not in ("$schema", "$id", "title", "description")]
        return ", ".join(map(repr, words[:6])), shown(document.at(number))

    # -- rules

    def _name(self, conjunction: Conjunction) -> str:
        return self._names.setdefault(conjunction, f"v{len(self._names)}")

    def _terminal(self, expression: str) -> str:
        return self._terminals.setdefault(expression, f"T{len(self._terminals)}")

    def _rule(self, expression: str) -> str:
        """Define a rule; equal expressions share a name."""
        name = self._known_rules.get(expression)
        if name is None:
            name = self._known_rules[expression] = f"r{len(self._rules)}"
            self._define(name, expression)
        return name

    def _define(self, name: str, expression: str) -> None:
        if len(self._rules) >= _MAX_RULES:
            raise ConstraintError(f"its grammar has more than {_MAX_RULES} rules; make it smaller")
        self._meaning.budget.spend()
        self._rules[name] = expression

    def _write(self, conjunction: Conjunction) -> None:
        shapes = [shape for shape in self._shapes[conjunction] if self._is_alive(shape)]
        try:
            self._write_shapes(conjunction, shapes)
        except ConstraintError as exc:
            raise self._located(exc, conjunction) from exc

    def _write_shapes(self, conjunction: Conjunction, shapes: list[Shape]) -> None:
        scalars: list[str] = []
        cases: list[str] = []
        for shape in shapes:
            for written in self._written(shape):
                is_rule = isinstance(shape, Array | Object) or written.startswith("%json")
                (cases if is_rule else scalars).append(written)
        cases = [self._rule(case) if case.startswith("%json") else case for case in cases]
        cases = [*map(self._terminal, scalars), *cases]
        self._define(self._name(conjunction), " | ".join(dict.fromkeys(cases)))

    def _written(self, shape: Shape) -> Iterator[str]:
        match shape:
            case Null():
                yield '"null"'
            case Boolean(values):
                yield from (f'"{str(value).lower()}"' for value in sorted(values))
            case Interval():
                written = self._number(shape)
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
            item = f"{separator}{self._name(prefix[i])} {rest}".rstrip()
            rest = item if i < shape.least else self._rule(f"({item})?")
        return rest

    def _possible(self, shape: Array) -> tuple[list[Conjunction], int | None]:
        """Return the leading items that are possible, and the maximum number of items."""
        most = shape.most
        prefix = list(shape.prefix if most is None else shape.prefix[:most])
        for i, inner in enumerate(prefix):
            if inner not in self._alive:
                return prefix[:i], i
        if most == len(prefix):
            return prefix, most
        if shape.rest not in self._alive:
            most = len(prefix)
        return prefix, most

    def _repeated(self, shape: Array, before: int, most: int | None) -> str:
        """Write the items after the prefix."""
        if most is not None and most <= before:
            return ""
        name = self._name(shape.rest)
        least = max(shape.least - before, 0)
        upper = None if most is None else most - before
        if before:
            return f"({self._item} {name}){_times(least, upper)}"
        times = _times(max(least - 1, 0), None if upper is None else upper - 1)
        following = f"({self._item} {name}){times}"
        every = f"{name} {following}" if upper != 1 else name
        return every if least else f"({every})?"

    def _different(self, shape: Array) -> str | None:
        """Write unique items in the order of the schema; `None` if there are many values.

        Raises:
            ConstraintError: There are fewer values than `minItems`.
        """
        values = self._few(shape)
        if values is None:
            return None
        most = len(values) if shape.most is None else min(shape.most, len(values))
        entries = [(self._terminal(value), False) for value in values]
        return self._chain(entries, None, shape.least, most)

    def _few(self, shape: Array) -> list[str] | None:
        """Return the values of the items, if few enough for the grammar to keep them unique."""
        if shape.prefix:
            return None
        values: list[str] = []
        for inner in self._shapes[shape.rest]:
            few = _values_of(inner)
            if few is None:
                return None
            values += few
        values = list(dict.fromkeys(values))
        size = len(values)
        most = shape.most if shape.most is not None and shape.most < size else 1
        is_countable = size * min(size, max(shape.least, most)) <= _MAX_COUNTED
        return values if size <= _MAX_ORDERED and is_countable else None

    # -- objects

    def _object(self, shape: Object) -> str:
        named = [
            (key, value)
            for key, value in shape.named
            if value in self._alive and self._is_key(shape.keys, key)
        ]
        entries = [
            (f"{self._key(key)} {self._colon} {self._name(value)}", key in shape.required)
            for key, value in named
        ]
        members = self._chain(entries, self._others(shape), shape.least, shape.most)
        return f"{self._open_object} {members} {self._close_object}"

    def _key(self, key: str) -> str:
        return self._terminal(literal(spelled_text(key)).expression)

    def _is_key(self, keys: Conjunction, key: str) -> bool:
        """True if a key matches the conjunction of the keys of an object."""
        if not is_writable(key):
            return False
        if not keys:
            return True
        shapes = self._meaning.cases(keys).shapes.get("string", ())
        return any(has_text(shape, key) for shape in shapes)

    def _others(self, shape: Object) -> str | None:
        """Write a member whose key is not named; `None` if there is none."""
        own = frozenset(key for key, _ in shape.named)
        members: list[str] = []
        for keys in shape.others:
            if keys.value not in self._alive:
                continue
            texts = self._other_keys(keys, own, shape.keys)
            if texts:
                key = self._terminal(" | ".join(f"({text})" for text in texts))
                members.append(f"{key} {self._colon} {self._name(keys.value)}")
        return self._rule(" | ".join(members)) if members else None

    def _other_keys(self, keys: Keys, own: frozenset[str], demanded: Conjunction) -> list[str]:
        """Return the strings of keys, as terminal expressions."""
        found: list[str] = []
        text = Text(excluded=own, patterns=keys.patterns)
        for other in self._meaning.cases(demanded).shapes.get("string", ()):
            both = intersect_texts(text, other)
            if both is not None and self._is_expressible(both) and (written := expression_of(both)):
                found.append(written)
        return found

    def _chain(
        self, entries: list[tuple[str, bool]], others: str | None, least: int, most: int | None
    ) -> str:
        """Write entries in their order, each required or optional, followed by others.

        A state is the index of the next entry and the number of entries written so far. The count
        is capped at the largest value that the bounds distinguish. The states are computed from
        the last entry to the first, so each can reference its successors:

            entry i, `count` written --written--> entry i + 1, min(count + 1, cap)
                                     --skipped--> entry i + 1, count      (optional ones only)
        """
        required = sum(is_required for _, is_required in entries)
        is_most = most is not None and (others is not None or most < len(entries))
        is_counted = least > required or is_most
        cap = max(least, most if most is not None and is_most else 1) if is_counted else 1
        cap = min(cap, max(len(entries), 1))
        if len(entries) * cap > _MAX_COUNTED:
            raise ConstraintError(
                f"its objects or arrays count {len(entries)} optional members up to {cap}; leave "
                "out 'minProperties' and 'maxProperties', or 'minItems' and 'maxItems'"
            )
        least, most = (least, most if is_most else None) if is_counted else (0, None)
        states = {count: self._end(others, count, least, most) for count in range(cap + 1)}
        for text, is_required in reversed(entries):
            successors, states = states, {}
            for count in range(cap + 1):
                cases: list[str] = []
                following = successors[min(count + 1, cap)]
                if following is not None and (most is None or count < most):
                    separator = f"{self._item} " if count else ""
                    cases.append(f"{separator}{text} {following}".rstrip())
                skipped = None if is_required else successors[count]
                states[count] = self._state(cases, skipped)
        found = states[0]
        if found is None:
            word = "minProperties" if others else "minItems"
            raise ConstraintError(
                f"{word!r} {least} requires more different members than a grammar can "
                "distinguish; list the required ones in 'required'"
            )
        return found

    def _state(self, cases: list[str], skipped: str | None) -> str | None:
        """Return the rule of a state; empty if nothing has to follow, `None` if nothing can."""
        if not cases:
            return skipped
        if skipped is None:
            return self._rule(cases[0])
        return self._rule(f"({cases[0]})?" if not skipped else f"{cases[0]} | {skipped}")

    def _end(self, others: str | None, count: int, least: int, most: int | None) -> str | None:
        """Write what follows the last entry.

        Two of `others` may have the same key, so they count as one at most.
        """
        missing = max(least - count, 0)
        upper = None if most is None else most - count
        if others is None or upper == 0:
            return None if missing else ""
        if missing > 1 or (upper is not None and upper < missing):
            return None
        if count:
            return self._rule(f"({self._item} {others}){_times(missing, upper)}")
        following = f"({self._item} {others}){_times(0, None if upper is None else upper - 1)}"
        every = f"{others} {following}" if upper != 1 else others
        return self._rule(every if missing else f"({every})?")

    # -- unique items

    def _unique_places(self, root: Conjunction) -> Places:
        """Return where `uniqueItems` has to be enforced by a `Watch`."""
        numbers = {root: 0}
        kinds: list[Kind] = []
        for conjunction in (waiting := [root]):  # `waiting` grows during iteration
            self._meaning.budget.spend()
            kinds.append(self._kind(conjunction, numbers, waiting))
        return Places(kinds if any(kind.is_unique for kind in kinds) else [])

    def _kind(
        self, conjunction: Conjunction, numbers: dict[Conjunction, int], waiting: list[Conjunction]
    ) -> Kind:
        """Return the kind of a conjunction, and number those nested in it."""

        def numbered(inner: Iterable[Conjunction]) -> frozenset[int]:
            alive = [one for one in inner if one in self._alive]
            for one in alive:
                if one not in numbers:
                    numbers[one] = len(numbers)
                    waiting.append(one)
            return frozenset(numbers[one] for one in alive)

        shapes = self._shapes[conjunction]
        arrays = [shape for shape in shapes if isinstance(shape, Array)]
        objects = [shape for shape in shapes if isinstance(shape, Object)]
        return Kind(
            any(must_differ(shape) and self._few(shape) is None for shape in arrays),
            numbered(inner for shape in arrays for inner in (*shape.prefix, shape.rest)),
            tuple(
                Members(
                    {key: numbered([value]) for key, value in shape.named},
                    numbered(keys.value for keys in shape.others),
                )
                for shape in objects
            ),
        )


def with_location(error: ConstraintError, pointer: str) -> ConstraintError:
    """Add a location in the schema to an error, if it has none yet."""
    if "(at #" in error.message:
        return error
    return ConstraintError(f"{error.message} (at {pointer})")


def must_differ(shape: Array) -> bool:
    """True if an array may have several items, which must differ."""
    return shape.is_unique and (shape.most is None or shape.most > 1)


def _times(least: int, most: int | None) -> str:
    """Return a quantifier of rules."""
    if most is None and least <= 1:
        return "+" if least else "*"
    return f"{{{least},{'' if most is None else most}}}"


def _every(cases: Cases) -> Iterator[Shape]:
    for shapes in cases.shapes.values():
        yield from shapes


def _inside(shape: Shape) -> list[Conjunction]:
    """Return the conjunctions nested in a shape."""
    match shape:
        case Array(prefix, rest, _, most):
            inner = list(prefix if most is None else prefix[:most])
            return [*inner, rest] if most is None or most > len(prefix) else inner
        case Object(named, _, others):
            return [*(value for _, value in named), *(keys.value for keys in others)]
        case _:
            return []


def _without_contains(shape: Shape) -> Iterator[Shape]:
    """Move what an array contains to fixed indices: from 0 on, or after the prefix."""
    if not isinstance(shape, Array) or not shape.contained:
        yield shape
        return
    count = len(shape.contained)
    for first in dict.fromkeys((0, len(shape.prefix))):
        size = max(len(shape.prefix), first + count)
        if shape.most is not None and first + count > shape.most:
            continue
        prefix = [*shape.prefix, *([shape.rest] * (size - len(shape.prefix)))]
        for i, inner in enumerate(shape.contained):
            prefix[first + i] |= inner
        least = max(shape.least, first + count)
        yield replace(shape, prefix=tuple(prefix), least=least, contained=())


def _values_of(shape: Shape) -> list[str] | None:
    """Return the values of a shape as terminals, if they are few."""
    match shape:
        case Null():
            return ['"null"']
        case Boolean(values):
            return [f'"{str(value).lower()}"' for value in sorted(values)]
        case Text(values=values) if values is not None:
            kept = (value for value in values if is_writable(value) and has_text(shape, value))
            return [literal(spelled_text(value)).expression for value in sorted(kept)]
        case Interval() if shape.point is not None:
            return [written] if (written := expression(shape)) else []
        case Interval(low, high, is_integer=True) if low is not None and high is not None:
            return _whole_numbers(shape, int(low), int(high))
        case _:
            return None


def _whole_numbers(shape: Interval, low: int, high: int) -> list[str] | None:
    if high - low > _MAX_ORDERED:
        return None
    numbers = range(low, high + 1)
    multiple = shape.multiple
    return [f'"{n}"' for n in numbers if multiple is None or (n / multiple).denominator == 1]
