"""Finds where a phrase ends in a completion, whatever the borders of tokens."""

from collections.abc import Sequence

from msgspec import Struct

from concordance_sdk.tokenizer import Tokenizer

#: Stands for a token that is not known: no text has this byte.
_UNSEEN = b"\xff"


class PhraseEnd(Struct, frozen=True):
    """Where a phrase ends."""

    step: int  # of the first token behind it
    split: bytes = b""  # if it ends inside a token: what to put there instead, from `step` on


class PhraseFinder:
    """Looks for a phrase in the tokens of a completion, which may be taken back again.

    Special tokens count by their names.
    """

    def __init__(self, phrase: str) -> None:
        """Look for a phrase, which is not empty."""
        self._phrase = phrase.encode()
        self._data = bytearray()
        self._ends: list[int] = []  # per token: how many bytes stand before the next one

    def go_back_to(self, step: int) -> None:
        """Forget what stood at a step and behind."""
        del self._ends[step:]
        del self._data[self._begin_of(len(self._ends)) :]

    def follow(self, step: int, token_ids: Sequence[int], tokenizer: Tokenizer) -> PhraseEnd | None:
        """Take in the tokens that were added at a step; say where the phrase ends in them.

        Args:
            step: Of the first of them.
            token_ids: The tokens.
            tokenizer: Whose tokens they are.
        """
        self.go_back_to(step)
        known = len(self._data)
        unseen = step - len(self._ends)  # tokens that another mod forced behind, unseen by this one
        for data in (*[_UNSEEN] * unseen, *map(tokenizer.token_bytes, token_ids)):
            self._data += data
            self._ends.append(len(self._data))
        found = self._data.find(self._phrase, max(0, known - len(self._phrase) + 1))
        return None if found < 0 else self._end_at(found + len(self._phrase))

    def _begin_of(self, step: int) -> int:
        """How many bytes stand before a step."""
        return self._ends[step - 1] if step else 0

    def _end_at(self, at: int) -> PhraseEnd:
        last = next(i for i, end in enumerate(self._ends) if end >= at)
        if self._ends[last] == at:
            return PhraseEnd(last + 1)
        while not _is_text(split := bytes(self._data[self._begin_of(last) : at])):
            last -= 1  # the token begins inside a character
        return PhraseEnd(last, split)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
