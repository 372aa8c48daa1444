"""Where special tokens are in the text of a completion that has their names.

A reader knows by them the token `<|end|>` from the same characters written as text.
"""

from collections.abc import Collection, Sequence

from concordance_sdk.detokenizer import REPLACEMENT
from msgspec import Struct


class Mark(Struct, frozen=True):
    """The name of a special token in a text, from character `begin` to before `end`."""

    begin: int
    end: int
    token_id: int

    def moved(self, length: int) -> "Mark":
        """Return the mark in a text that `length` more characters precede."""
        return Mark(self.begin + length, self.end + length, self.token_id)


class MarkedTokens:
    """Which tokens of a completion are marked, and where their names are in its text.

    Attributes:
        ids: The ids of the tokens to mark.
    """

    def __init__(self, marked: Collection[int]) -> None:
        """Start with an empty completion.

        Args:
            marked: The ids of the tokens to mark.
        """
        self.ids = frozenset(marked)
        self._tokens: list[tuple[int, int]] = []  # index in the completion, and id

    def __bool__(self) -> bool:
        """True if the completion has marked tokens."""
        return bool(self._tokens)

    def follow(self, unchanged: int, token_ids: Sequence[int]) -> None:
        """Update the completion.

        Args:
            unchanged: Number of leading tokens that are the same as in the last call.
            token_ids: The tokens after them.
        """
        while self._tokens and self._tokens[-1][0] >= unchanged:
            self._tokens.pop()
        for index, token_id in enumerate(token_ids, unchanged):
            if token_id in self.ids:
                self._tokens.append((index, token_id))

    def between(
        self, begin: int, end: int, pieces: Sequence[str], ends: Sequence[int]
    ) -> tuple[Mark, ...]:
        """Return the marks of whole names in a part of the text, relative to its beginning.

        Takes time in proportion to the marks after `begin`.

        Args:
            begin: The first character of the part.
            end: The character after it.
            pieces: The text of each token.
            ends: The length of the text up to and including each token.
        """
        if not self._tokens or ends[self._tokens[-1][0]] <= begin:  # nearly always
            return ()
        marks: list[Mark] = []
        for index, token_id in reversed(self._tokens):
            last = ends[index]
            first = last - _name_length(pieces[index])
            if last <= begin:
                break
            if begin <= first and last <= end:
                marks.append(Mark(first - begin, last - begin, token_id))
        return tuple(reversed(marks))

    def before_name(self, at: int, pieces: Sequence[str], ends: Sequence[int]) -> int:
        """Return a character position, or the beginning of the name that it is within.

        Args:
            at: The position.
            pieces: The text of each token.
            ends: The length of the text up to and including each token.
        """
        for index, _ in reversed(self._tokens):
            last = ends[index]
            first = last - _name_length(pieces[index])
            if last <= at:
                break
            if first < at:
                return first
        return at


def _name_length(piece: str) -> int:
    """The length of a special token's name, which an incomplete character may precede."""
    return len(piece.lstrip(REPLACEMENT))
