"""The tokens of answers as they were sampled, for prompts that come back with them as text.

A tokenizer cuts a text in one way, a model may have sampled another. A conversation's next prompt
has the answer as text; cut anew it would differ from what was read, and all behind the difference
would be read again. So an answer's own tokens are kept, and put in its place where the same answer
stands behind the same prompt.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

#: So many answers are kept; the least recently used ones are evicted first.
MAX_ANSWERS = 4096


class PromptDigest:
    """Digest of a prompt's text that is extended piece by piece.

    A conversation of n answers looks up n prompts, each a prefix of the next: extending one digest
    keeps that linear in the length of the conversation.
    """

    def __init__(self, text: str = "") -> None:
        """Digest `text`."""
        self._hash = hashlib.blake2b(digest_size=16)
        self.extend(text)

    def extend(self, text: str) -> None:
        """Append a piece of text."""
        self._hash.update(text.encode(errors="surrogatepass"))

    def digest(self) -> bytes:
        """Digest of the text so far.  16 bytes"""
        return self._hash.digest()


class AnswerMemory:
    """Answers by the prompt before them and their text. Safe to use from several threads."""

    def __init__(self, max_answers: int = MAX_ANSWERS) -> None:
        """Begin empty."""
        self._max_answers = max_answers
        self._answers: OrderedDict[tuple[bytes, str], tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, prompt: PromptDigest, answer: str, token_ids: Sequence[int]) -> None:
        """Keep the tokens of an answer.

        Args:
            prompt: The prompt's text.
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
