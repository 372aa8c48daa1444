"""Finds where an element of a complete text can end, according to a constraint."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from concordance_sdk.constraints.byte_grammar import matcher_of
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.validation import grammar_text

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Reader:
    """A text whose positions are byte offsets in UTF-8."""

    def __init__(self, text: str) -> None:
        """Encode a text."""
        self._data = text.encode()
        self.length = len(self._data)
        self._matchers: dict[int, LLMatcher] = {}  # by the identity of their constraints

    def text(self, begin: int, end: int) -> str:
        """Return the text between two positions."""
        return self._data[begin:end].decode()

    def end_of(self, text: str, at: int) -> int | None:
        """Return the position after `text` if it is at position `at`, else `None`."""
        data = text.encode()
        return at + len(data) if self._data.startswith(data, at) else None

    def ends(self, constraint: Constraint, begin: int) -> Iterator[int]:
        """Yield the positions, in order, where a match of `constraint` from `begin` can end."""
        matcher = self._matcher(constraint)
        for at in range(begin, self.length + 1):
            if matcher.is_accepting():
                yield at
            if at == self.length or not matcher.try_consume_tokens([self._data[at]]):
                return

    def _matcher(self, constraint: Constraint) -> "LLMatcher":
        """Return a fresh matcher; each constraint is compiled once."""
        known = self._matchers.get(id(constraint))
        if known is None:
            known = self._matchers[id(constraint)] = matcher_of(grammar_text(constraint))
        return known.deep_copy()
