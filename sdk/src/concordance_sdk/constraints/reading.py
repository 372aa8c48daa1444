"""Reads a finished text by constraints: where an element of it may end."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from concordance_sdk.constraints.byte_grammar import matcher_of
from concordance_sdk.constraints.constraint import Constraint
from concordance_sdk.constraints.validation import grammar_text

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Reader:
    """A text, and the places in it. Places are counted in bytes of UTF-8."""

    def __init__(self, text: str) -> None:
        """Read a text."""
        self._data = text.encode()
        self.length = len(self._data)
        self._matchers: dict[int, LLMatcher] = {}  # by the identity of their constraints

    def text(self, begin: int, end: int) -> str:
        """What stands between two places."""
        return self._data[begin:end].decode()

    def behind(self, text: str, at: int) -> int | None:
        """The place behind a text that stands at a place; `None` if it does not."""
        data = text.encode()
        return at + len(data) if self._data.startswith(data, at) else None

    def ends(self, constraint: Constraint, begin: int) -> Iterator[int]:
        """The places where what begins at a place and follows a constraint may end, in order."""
        matcher = self._matcher(constraint)
        for at in range(begin, self.length + 1):
            if matcher.is_accepting():
                yield at
            if at == self.length or not matcher.try_consume_tokens([self._data[at]]):
                return

    def _matcher(self, constraint: Constraint) -> "LLMatcher":
        """A fresh matcher of a constraint, whose grammar is compiled once."""
        known = self._matchers.get(id(constraint))
        if known is None:
            known = self._matchers[id(constraint)] = matcher_of(grammar_text(constraint))
        return known.deep_copy()
