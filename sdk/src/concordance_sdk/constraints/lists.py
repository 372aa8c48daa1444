"""Several answers, one behind the other."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from concordance_shared import ConstraintError
from msgspec import Struct
from msgspec.structs import force_setattr

from concordance_sdk.constraints.constraint import Constraint, require_constraint
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part, literal
from concordance_sdk.constraints.reading import Reader


class _Span(Struct, frozen=True):
    """Where an element stands in a text, and where what comes behind it may begin."""

    begin: int
    end: int
    behind: int


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
        ConstraintError: An element is no constraint, what stands around is no text, a count is
            no count or does not go with the other, or a tuple has one.

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
        self._check_texts()
        self._check_counts()

    def _check_texts(self) -> None:
        for name in ("open", "close", "wrap", "sep", "end_with"):
            text: object = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise ConstraintError(f"`{name}` of ListStrat is a text, not {text!r:.60}")

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
        reader = Reader(inner)
        spans = self._reading(reader)
        if spans is None:
            raise ValueError(f"{text!r:.60} is no text of {self!r:.60}")
        values = [
            self._element(i).value(reader.text(span.begin, span.end))
            for i, span in enumerate(spans)
        ]
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

    def _reading(self, reader: Reader) -> list[_Span] | None:
        """Where each element stands, in the first way to read them all; `None` if there is none.

        A place that was come to before, with as many elements, is not read on from again.
        """
        spans: list[_Span] = []
        if reader.length == 0 and self._may_have(0):
            return spans
        ways = [self._spans(reader, 0, 0)]
        tried: set[tuple[int, int]] = set()
        while ways:
            span = next(ways[-1], None)
            if span is None:
                ways.pop()
                del spans[-1:]
            elif (reached := (span.behind, self._counted(len(spans) + 1))) not in tried:
                tried.add(reached)
                spans.append(span)
                if span.behind == reader.length and self._may_have(len(spans)):
                    return spans
                ways.append(self._spans(reader, span.behind, len(spans)))
        return None

    def _may_have(self, count: int) -> bool:
        """Whether so many elements are enough."""
        return count == len(self._constraints) if self.is_tuple else count >= (self.min or 0)

    def _counted(self, count: int) -> int:
        """A number of elements, as far as it matters for those that follow."""
        is_open = not self.is_tuple and self.max is None
        return min(count, self._least) if is_open else count

    @property
    def _least(self) -> int:
        """From so many elements of a list on, no further one need be there."""
        return max(1, self.min or 0)

    def _spans(self, reader: Reader, at: int, i: int) -> Iterator[_Span]:
        """Where the i-th element may stand if what was before it ends at a place.

        One that takes no room is read only where it is needed: any number would fit in.
        """
        if i == (len(self._constraints) if self.is_tuple else self.max):
            return
        element = self._element(i)
        before = (self.sep or "" if i else "") + (self.wrap or "")
        after = "" if self._closes_itself(element) else self.wrap or ""
        begin = reader.behind(before, at)
        for end in reader.ends(element, begin) if begin is not None else ():
            behind = reader.behind(after, end)
            is_needed = self.is_tuple or i < self._least
            if begin is not None and behind is not None and (behind > at or is_needed):
                yield _Span(begin, end, behind)

    def _element(self, i: int) -> Constraint:
        """The constraint of the i-th element."""
        return self._constraints[i if self.is_tuple else 0]


def _literal(text: str | None) -> Part | None:
    return literal(text) if text else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
