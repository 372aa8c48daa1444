"""Several answers, one behind the other."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from concordance_shared import ConstraintError
from msgspec import Struct
from msgspec.structs import force_setattr

from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part, literal
from concordance_sdk.constraints.reading import Reader


class ListStrat(Struct, frozen=True):
    r"""A list of answers that all follow one constraint, or a fixed tuple of several.

    The answer is without `end_with`; the value is the list of the elements' values, a tuple if the
    elements are fixed. A `CharsStrat` that stops at the same text as `wrap` has it written once,
    not twice.

    Attributes:
        elements: What each of them follows; several of these for a fixed tuple.
        open: What stands before the first.
        close: What stands behind the last.
        wrap: What stands on both sides of each.
        sep: What stands between two.
        min: At least so many; not for a tuple.
        max: At most so many; not for a tuple.
        end_with: What stands behind it all.

    Raises:
        ConstraintError: An element is no constraint, a count is no count or does not go with the
            other, or a tuple has one.

    Examples:
        >>> from concordance_sdk.constraints import CharsMode, CharsStrat, allows
        >>> digits = CharsStrat(CharsMode.NUMERIC, min=1, stop=3)
        >>> several = ListStrat(digits, open="[", close="]", min=1, max=3)
        >>> allows(several, "[1, 23]"), allows(several, "[]")
        (True, False)
        >>> several.value("[1, 23]")
        ['1', '23']
        >>> ListStrat([digits, digits], sep="-").value("12-34")
        ('12', '34')
    """

    elements: Constraint | Sequence[Constraint]
    open: str | None = None
    close: str | None = None
    wrap: str | None = None
    sep: str | None = ", "
    min: int | None = None
    max: int | None = None
    end_with: str | None = None

    def __post_init__(self) -> None:
        """Check the elements and the counts."""
        if self.sep is None:
            force_setattr(self, "sep", ", ")
        if self.is_tuple:
            force_setattr(self, "elements", tuple(cast(Sequence[Constraint], self.elements)))
        if not self._constraints:
            raise ConstraintError("ListStrat needs a constraint for its elements, or one for each")
        for element in self._constraints:
            require_constraint(element, "an element of ListStrat")
        self._check_counts()

    def _check_counts(self) -> None:
        if self.is_tuple and (self.min, self.max) != (None, None):
            raise ConstraintError(
                "a ListStrat with a list of constraints has one element for each; `min` and `max` "
                "are for one constraint that all elements follow"
            )
        for name, count in (("min", self.min), ("max", self.max)):
            if count is not None and not _is_count(count):
                raise ConstraintError(f"`{name}` of ListStrat is a count, not {count!r:.60}")
        if self.max is not None and self.max < max(1, self.min or 0):
            raise ConstraintError(
                f"ListStrat cannot have at least {self.min or 0} and at most {self.max} elements"
            )

    @property
    def is_tuple(self) -> bool:
        """Whether the elements are fixed, each with a constraint of its own."""
        return isinstance(self.elements, Sequence) and not isinstance(self.elements, str)

    def write(self, grammar: GrammarBuilder) -> Part:
        """All of it, as one terminal if the elements are regular."""
        elements = self._written_tuple(grammar) if self.is_tuple else self._written_list(grammar)
        part = grammar.sequence(
            [_literal(self.open), elements, _literal(self.close), _literal(self.end_with)]
        )
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """The list, without what was only written to end it."""
        return text.removesuffix(self.end_with or "")

    def value(self, text: str) -> list[Any] | tuple[Any, ...]:
        """The values of the elements, read from left to right, each as short as can be.

        Args:
            text: What was written.

        Raises:
            ValueError: The text does not follow the constraint.
        """
        inner = self.answer(text).removeprefix(self.open or "").removesuffix(self.close or "")
        values = next(self._readings(Reader(inner), 0, 0), None)
        if values is None:
            raise ValueError(f"{text!r:.60} is no text of {self!r:.60}")
        return tuple(values) if self.is_tuple else values

    @property
    def _constraints(self) -> tuple[Constraint, ...]:
        """The constraint of every element, or those of the fixed ones."""
        if self.is_tuple:
            return tuple(cast(Sequence[Constraint], self.elements))
        return (cast(Constraint, self.elements),)

    def _written_tuple(self, grammar: GrammarBuilder) -> Part:
        parts: list[Part | None] = []
        for i, element in enumerate(self._constraints):
            parts += [_literal(self.sep) if i else None, *self._wrapped(grammar, element)]
        part = grammar.sequence(parts)
        assert part is not None
        return part

    def _written_list(self, grammar: GrammarBuilder) -> Part:
        one = grammar.sequence(self._wrapped(grammar, self._constraints[0]))
        assert one is not None
        many = grammar.repeated(one, self.sep or "", max(1, self.min or 0), self.max)
        return many if self.min else grammar.optional(many)

    def _wrapped(self, grammar: GrammarBuilder, element: Constraint) -> list[Part | None]:
        behind = None if self._closes_itself(element) else _literal(self.wrap)
        return [_literal(self.wrap), element.write(grammar), behind]

    def _closes_itself(self, element: Constraint) -> bool:
        """Whether the text that stops an element is the wrap behind it."""
        return bool(self.wrap) and getattr(element, "stop", None) == self.wrap

    def _readings(self, reader: Reader, at: int, i: int) -> Iterator[list[Any]]:
        """The ways to read the elements from the i-th on, from a place of the text to its end."""
        if at == reader.length and self._may_have(i):
            yield []
        if i == (len(self._constraints) if self.is_tuple else self.max):
            return
        element = self._constraints[i if self.is_tuple else 0]
        for begin, end, behind in self._places(reader, element, at, is_first=i == 0):
            if behind > at or self.is_tuple:
                value = element.value(reader.text(begin, end))
                for values in self._readings(reader, behind, i + 1):
                    yield [value, *values]

    def _may_have(self, count: int) -> bool:
        """Whether so many elements are enough."""
        return count == len(self._constraints) if self.is_tuple else count >= (self.min or 0)

    def _places(
        self, reader: Reader, element: Constraint, at: int, *, is_first: bool
    ) -> Iterator[tuple[int, int, int]]:
        """Where an element may begin and end, and what comes behind it may begin."""
        before = ("" if is_first else self.sep or "") + (self.wrap or "")
        after = "" if self._closes_itself(element) else self.wrap or ""
        begin = reader.behind(before, at)
        for end in reader.ends(element, begin) if begin is not None else ():
            behind = reader.behind(after, end)
            if begin is not None and behind is not None:
                yield begin, end, behind


def _literal(text: str | None) -> Part | None:
    return literal(text) if text else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
