"""The conjunctions that a document can contain, and those with a finite document."""

import json
import re
from collections.abc import Iterator
from typing import Any

from concordance_shared import ConstraintError
from msgspec.structs import replace

from concordance_sdk.constraints.byte_grammar import NO_TEXT, fault_of
from concordance_sdk.constraints.grammar_builder import literal
from concordance_sdk.constraints.schema.document import shown
from concordance_sdk.constraints.schema.meaning import Meaning
from concordance_sdk.constraints.schema.numbers import Interval, expression
from concordance_sdk.constraints.schema.shapes import (
    Array,
    Boolean,
    Cases,
    Conjunction,
    Null,
    Object,
    Shape,
    Text,
)
from concordance_sdk.constraints.schema.texts import (
    fault_in,
    grammar_of,
    has_text,
    is_writable,
    spelled_text,
)

#: Maximum number of states for counting the members of an object.
MAX_COUNTED = 4000

#: Arrays of unique items of up to this many values list them in the order of the schema.
_MAX_ORDERED = 200


class Reachable:
    """The conjunctions reachable from a root, with their shapes.

    Attributes:
        shapes: The shapes of each reachable conjunction.
        alive: The conjunctions with a finite document. Only these are written.
    """

    def __init__(self, meaning: Meaning, root: Conjunction) -> None:
        """Expand every conjunction reachable from `root`.

        Raises:
            ConstraintError: A part cannot be enforced, or no finite document matches.
        """
        self._meaning = meaning
        self._has_omitted = False  # strings whose automaton is too large
        self.shapes: dict[Conjunction, list[Shape]] = {}
        self.alive: set[Conjunction] = set()
        self._explore(root)
        self._find_alive()
        if root not in self.alive:
            raise ConstraintError(self._why_empty(root))

    def _explore(self, root: Conjunction) -> None:
        waiting = [root]
        while waiting:
            conjunction = waiting.pop()
            if conjunction in self.shapes:
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
                raise self.located(exc, conjunction) from exc
            self.shapes[conjunction] = shapes
            waiting += [inner for shape in shapes for inner in _inside(shape)]

    def _has_own(self, shape: Shape) -> bool:
        """True if a shape has values, regardless of its items and members."""
        match shape:
            case Text():
                return self.is_expressible(shape)
            case Interval():
                return self.number(shape) is not None
            case Object(required=required):
                return all(self.is_key(shape.keys, key) for key in required)
            case _:
                return True

    def is_expressible(self, text: Text) -> bool:
        """True if strings can be written. Those whose automaton is too large are omitted."""
        fault = fault_in(text)
        self._has_omitted |= bool(fault) and fault != NO_TEXT
        return not fault

    def number(self, interval: Interval) -> str | None:
        """Return the terminal of a number; `None` if there is no such number."""
        written = expression(interval)
        if written is None or interval.point is not None or interval == Interval():
            return written
        if written.startswith("%json"):
            return _checked_arithmetic(written)
        return None if fault_of(grammar_of(written)) else written

    def _find_alive(self) -> None:
        """Find the conjunctions with a finite document, from the innermost outwards."""
        users: dict[Conjunction, list[Conjunction]] = {}
        for conjunction, shapes in self.shapes.items():
            for inner in {inner for shape in shapes for inner in _inside(shape)}:
                users.setdefault(inner, []).append(conjunction)
        waiting = list(self.shapes)
        while waiting:
            conjunction = waiting.pop()
            if conjunction in self.alive:
                continue
            if any(self.is_alive(shape) for shape in self.shapes[conjunction]):
                self.alive.add(conjunction)
                waiting += users.get(conjunction, [])

    def is_alive(self, shape: Shape) -> bool:
        """True if a shape has a finite document."""
        match shape:
            case Array(prefix, rest, least):
                needed = [*prefix[:least], *([rest] if least > len(prefix) else [])]
                return all(inner in self.alive for inner in needed) and self._has_enough(shape)
            case Object(named, required):
                return all(value in self.alive for key, value in named if key in required)
            case _:
                return True

    def _has_enough(self, shape: Array) -> bool:
        """True if an array with `uniqueItems` has enough different values."""
        values = self.few_values(shape) if must_differ(shape) else None
        return values is None or len(values) >= shape.least

    def _why_empty(self, root: Conjunction) -> str:
        """Explain why a conjunction has no finite document; names its innermost cause."""
        here, seen = root, set[Conjunction]()
        while here not in seen:
            seen.add(here)
            dead = (
                inner
                for shape in self.shapes[here]
                for inner in _inside(shape)
                if inner not in self.alive and not self.is_alive(shape)
            )
            here = next(dead, here)
        words, at = self._described(here)
        if self._has_omitted:
            return (
                f"the automaton of what matches {words} is too large; shorten the patterns that "
                f"apply together (at {at})"
            )
        return f"no finite document matches {words} (at {at})"

    def located(self, error: ConstraintError, conjunction: Conjunction) -> ConstraintError:
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

    def few_values(self, shape: Array) -> list[str] | None:
        """Return the values of the items, if few enough for the grammar to keep them unique."""
        if shape.prefix:
            return None
        values: list[str] = []
        for inner in self.shapes[shape.rest]:
            few = _values_of(inner)
            if few is None:
                return None
            values += few
        values = list(dict.fromkeys(values))
        size = len(values)
        most = shape.most if shape.most is not None and shape.most < size else 1
        is_countable = size * min(size, max(shape.least, most)) <= MAX_COUNTED
        return values if size <= _MAX_ORDERED and is_countable else None

    def is_key(self, keys: Conjunction, key: str) -> bool:
        """True if a key matches the conjunction of the keys of an object."""
        if not is_writable(key):
            return False
        if not keys:
            return True
        shapes = self._meaning.cases(keys).shapes.get("string", ())
        return any(has_text(shape, key) for shape in shapes)


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


def with_location(error: ConstraintError, pointer: str) -> ConstraintError:
    """Add a location in the schema to an error, if it has none yet."""
    if "(at #" in error.message:
        return error
    return ConstraintError(f"{error.message} (at {pointer})")


def must_differ(shape: Array) -> bool:
    """True if an array may have several items, which must differ."""
    return shape.is_unique and (shape.most is None or shape.most > 1)


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
