"""The tokens of answers as they were sampled, for prompts that come back with them as text.

A tokenizer cuts a text in one way, a model may have sampled another. A conversation's next prompt
has the answer as text; cut anew it would differ from what was read, and all behind the difference
would be read again. So an answer's own tokens are kept, and put in its place where the same answer
stands behind the same tokens.
"""

import hashlib
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence

#: So many answers are kept; the least recently used ones are evicted first.
MAX_ANSWERS = 4096


class PromptDigest:
    """Digest of a prompt's token ids that is extended piece by piece.

    A conversation of n answers looks up n prompts, each a prefix of the next: extending one digest
    keeps that linear in the length of the conversation.
    """

    def __init__(self, token_ids: Sequence[int] = ()) -> None:
        """Digest `token_ids`."""
        self._hash = hashlib.blake2b(digest_size=16)
        self.extend(token_ids)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Append token ids."""
        self._hash.update(array("q", [*token_ids]).tobytes())

    def digest(self) -> bytes:
        """Digest of the token ids so far.  16 bytes"""
        return self._hash.digest()


class SampledMessages:
    """Answers by the prompt before them and their text. Safe to use from several threads."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        """Begin empty."""
        self._max_answers = max_answers
        self._answers: OrderedDict[tuple[bytes, str], tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, prompt: PromptDigest, answer: str, token_ids: Sequence[int]) -> None:
        """Keep the tokens of an answer.

        Args:
            prompt: The prompt's token ids.
            answer: The answer's text.
            token_ids: The same as it was sampled, without what ended it.
        """
        key = (prompt.digest(), answer)
        with self._lock:
            self._answers[key] = tuple(token_ids)
            self._answers.move_to_end(key)
            if len(self._answers) > self._max_answers:
                self._answers.popitem(last=False)

    def recall(self, prompt: PromptDigest, answer: str) -> tuple[int, ...] | None:
        """The tokens of an answer behind a prompt, if they are kept."""
        key = (prompt.digest(), answer)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)


class Splice:
    """Puts answers as they were sampled into the tokens of a prompt.

    All other tokens are those of the whole text, so that an answer can only take the place of
    tokens that are its text and nothing else. Where a token covers the border between an answer and
    its surroundings, the tokens of the whole text stay.
    """

    def __init__(
        self,
        token_ids: Sequence[int],
        begins: Sequence[int],
        data_of: Callable[[Sequence[int]], bytes],
    ) -> None:
        """Take the tokens of a text.

        Args:
            token_ids: The tokens.
            begins: Per token: the character of the text that it begins with.
            data_of: The bytes that tokens add behind others.
        """
        self._token_ids = token_ids
        self._begins = begins
        self._data_of = data_of
        self._prompt = PromptDigest()
        self._spliced: list[int] = []
        self._done = 0  # tokens of the text

    def add(self, answers: SampledMessages, answer: str, begin: int) -> None:
        """Go on to the end of an answer.

        Args:
            answers: The answers that are kept.
            answer: The answer's text.
            begin: The character of the text that it begins with.
        """
        first = bisect_left(self._begins, begin, lo=self._done)
        last = bisect_left(self._begins, begin + len(answer), lo=first)
        self._append(self._token_ids[self._done : first])
        own = self._token_ids[first:last]
        sampled = answers.recall(self._prompt, answer)
        is_same = sampled is not None and self._data_of(sampled) == self._data_of(own)
        self._append(sampled if sampled is not None and is_same else own)
        self._done = last

    def end(self) -> list[int]:
        """The tokens of the whole prompt."""
        self._append(self._token_ids[self._done :])
        self._done = len(self._token_ids)
        return self._spliced

    def _append(self, token_ids: Sequence[int]) -> None:
        self._spliced += token_ids
        self._prompt.extend(token_ids)
