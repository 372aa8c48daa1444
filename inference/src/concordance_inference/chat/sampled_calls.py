"""The sampled tokens of messages with tool calls, for later prompts that contain the calls.

A template writes a call in a place of its own, and the client sends its arguments as it likes. So
the tokens of such a message are found by the prompt before them alone: they replace the tokens of a
later prompt where it continues that prompt with the same bytes.
"""

import threading
from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Sequence

from concordance_inference.chat.sampled_messages import MAX_MESSAGES, PromptDigest


class SampledCalls:
    """Sampled tokens of messages with calls, by the prompt before them. Thread-safe.

    Examples:
        >>> calls = SampledCalls()
        >>> calls.remember([1, 2], [7, 8])
        >>> calls.lengths(0, 9), calls.recall(PromptDigest([1, 2]))
        ([2], (7, 8))
    """

    def __init__(self, max_messages: int = MAX_MESSAGES) -> None:
        """Keep up to `max_messages`."""
        self._max_messages = max_messages
        self._messages: OrderedDict[bytes, tuple[int, tuple[int, ...]]] = OrderedDict()
        self._lengths: list[int] = []  # of their prompts, in order
        self._lock = threading.Lock()

    def remember(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], *, space: str = ""
    ) -> None:
        """Keep the tokens of a message.

        Args:
            prompt_ids: The prompt.
            token_ids: The sampled tokens, without the end-of-sequence token.
            space: That of the digest of the prompt.
        """
        key = PromptDigest(prompt_ids, space=space).digest()
        with self._lock:
            self._forget(key)
            self._messages[key] = (len(prompt_ids), tuple(token_ids))
            insort(self._lengths, len(prompt_ids))
            if len(self._messages) > self._max_messages:
                self._forget(next(iter(self._messages)))

    def recall(self, prompt: PromptDigest) -> tuple[int, ...] | None:
        """Return the tokens of the message that followed a prompt, if they are kept."""
        key = prompt.digest()
        with self._lock:
            if key not in self._messages:
                return None
            self._messages.move_to_end(key)
            return self._messages[key][1]

    def lengths(self, begin: int, end: int) -> list[int]:
        """Return the lengths of prompts from `begin` to less than `end`, in order."""
        with self._lock:
            first, last = bisect_left(self._lengths, begin), bisect_left(self._lengths, end)
            return list(dict.fromkeys(self._lengths[first:last]))

    def _forget(self, key: bytes) -> None:
        known = self._messages.pop(key, None)
        if known is not None:
            del self._lengths[bisect_left(self._lengths, known[0])]
