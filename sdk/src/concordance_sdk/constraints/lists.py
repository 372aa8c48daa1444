"""A constraint to a list or tuple of constrained elements."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from concordance_shared import ConstraintError
from msgspec import Struct
from msgspec.structs import force_setattr

from concordance_sdk.constraints.constraint import Constraint, is_count, require_constraint
from concordance_sdk.constraints.constructor import ConstraintStruct
from concordance_sdk.constraints.grammar_builder import GrammarBuilder, Part, literal
from concordance_sdk.constraints.reading import Reader


class _Span(Struct, frozen=True):
    """The position of an element in a text, in bytes, and where the next one can begin."""

    begin: int
    end: int
    next: int


class ListStrat(ConstraintStruct, frozen=True):
    r"""A list of elements that all match one constraint, or a tuple with a constraint for each.

    The answer excludes `end_with`; the value is the list of the elements' values, or a tuple. If a
    `CharsStrat` stops at the same text as `wrap`, that text is written once, not twice.

    Attributes:
        elements: The constraint of every element; a sequence of constraints for a tuple.
        open: The text before the first element.
        close: The text after the last element.
        wrap: The text on both sides of each element.
        sep: The text between two elements.
        min: The minimum number of elements; not for a tuple.
        max: The maximum number of elements; not for a tuple.
        end_with: The text after the whole list.

    Raises:
        ConstraintError: An element is not a constraint, a delimiter is not a string, a count is
            invalid, `min` exceeds `max`, or a tuple has a count.

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
        """Validate the elements, delimiters and counts."""
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
            if count is not None and not is_count(count):
                raise ConstraintError(f"`{name}` of ListStrat is a count, not {count!r:.60}")
        if self.max is not None and self.max < max(1, self.min or 0):
            raise ConstraintError(
                f"ListStrat cannot have at least {self.min or 0} and at most {self.max} elements"
            )

    @property
    def is_tuple(self) -> bool:
        """True for a tuple: each element has its own constraint."""
        return isinstance(self.elements, Sequence) and not isinstance(self.elements, str)

    def write(self, grammar: GrammarBuilder) -> Part:
        """Write the list, as one terminal if the elements are regular."""
        elements = self._written_tuple(grammar) if self.is_tuple else self._written_list(grammar)
        part = grammar.sequence(
            [_literal(self.open), elements, _literal(self.close), _literal(self.end_with)]
        )
        assert part is not None
        return part

    def answer(self, text: str) -> str:
        """Return the list without `end_with`."""
        return text.removesuffix(self.end_with or "")

    def value(self, text: str) -> list[Any] | tuple[Any, ...]:
        """Return the values of the elements; each is parsed as short as possible.

        Args:
            text: A text that matches.

        Raises:
            ValueError: The text does not match the constraint.
        """
        inner = self.answer(text).removeprefix(self.open or "").removesuffix(self.close or "")
        reader = Reader(inner)
        spans = self._parsed(reader)
        if spans is None:
            raise ValueError(f"{text!r:.60} does not match {self!r:.60}")
        values = [
            self._element(i).value(reader.text(span.begin, span.end))
            for i, span in enumerate(spans)
        ]
        return tuple(values) if self.is_tuple else values

    @property
    def _constraints(self) -> tuple[Constraint, ...]:
        """The constraint of all elements, or those of a tuple."""
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
        after = None if self._closes_itself(element) else _literal(self.wrap)
        return [_literal(self.wrap), element.write(grammar), after]

    def _closes_itself(self, element: Constraint) -> bool:
        """True if the text that stops an element is also the wrap after it."""
        return bool(self.wrap) and getattr(element, "stop", None) == self.wrap

    def _parsed(self, reader: Reader) -> list[_Span] | None:
        """Return the position of each element in the first parse, or `None` if there is none.

        A depth-first search. `tried` holds the states (position, number of elements) that were
        reached before and led to no parse, so that the search is not exponential.
        """
        spans: list[_Span] = []
        if reader.length == 0 and self._may_have(0):
            return spans
        branches = [self._spans(reader, 0, 0)]
        tried: set[tuple[int, int]] = set()
        while branches:
            span = next(branches[-1], None)
            if span is None:
                branches.pop()
                del spans[-1:]
            elif (reached := (span.next, self._counted(len(spans) + 1))) not in tried:
                tried.add(reached)
                spans.append(span)
                if span.next == reader.length and self._may_have(len(spans)):
                    return spans
                branches.append(self._spans(reader, span.next, len(spans)))
        return None

    def _may_have(self, count: int) -> bool:
        """True if `count` elements satisfy the minimum."""
        return count == len(self._constraints) if self.is_tuple else count >= (self.min or 0)

    def _counted(self, count: int) -> int:
        """Cap a number of elements at the minimum if there is no maximum: larger ones are alike."""
        is_open = not self.is_tuple and self.max is None
        return min(count, self._least) if is_open else count

    @property
    def _least(self) -> int:
        """The number of elements from which on no further one is required."""
        return max(1, self.min or 0)

    def _spans(self, reader: Reader, at: int, i: int) -> Iterator[_Span]:
        """Yield every position of the i-th element if the previous one ends at `at`.

        An empty element is considered only if it is required; otherwise any number would fit.
        """
        if i == (len(self._constraints) if self.is_tuple else self.max):
            return
        element = self._element(i)
        before = (self.sep or "" if i else "") + (self.wrap or "")
        after = "" if self._closes_itself(element) else self.wrap or ""
        begin = reader.end_of(before, at)
        for end in reader.ends(element, begin) if begin is not None else ():
            following = reader.end_of(after, end)
            is_needed = self.is_tuple or i < self._least
            if begin is not None and following is not None and (following > at or is_needed):
                yield _Span(begin, end, following)

    def _element(self, i: int) -> Constraint:
        return self._constraints[i if self.is_tuple else 0]


def _literal(text: str | None) -> Part | None:
    return literal(text) if text else None
