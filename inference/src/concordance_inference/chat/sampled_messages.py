"""The sampled tokens of assistant messages, for later prompts that contain the messages as text.

A text has one tokenization, but the model may have sampled another. A conversation's next prompt
has the message as text; tokenized again, it may differ from the tokens in the KV cache, and
everything after the first difference would be prefilled again:

    sampled      ... | "Hel" "lo" | ...
    tokenized    ... | "Hello"    | ...     differs from here on

So the sampled tokens are kept, and replace the tokenized ones where the same text follows the same
prompt.
"""

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

#: Limit of messages that are kept; the least recently used one is evicted first.
MAX_MESSAGES = 4096


class PromptDigest:
    """Digest of a prompt's token ids that is extended piece by piece.

    A conversation with n assistant messages looks up n prompts, each a prefix of the next:
    extending one digest keeps that linear in the length of the conversation.
    """

    def __init__(self, token_ids: Sequence[int] = (), *, space: str = "") -> None:
        """Digest `token_ids`.

        Args:
            token_ids: The first token ids.
            space: Digests are equal within one space only; see `GenerationRequest.prefix_space`.
        """
        self._hash = hashlib.blake2b(digest_size=16, key=space.encode())
        self.extend(token_ids)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Append token ids."""
        self._hash.update(array("q", [*token_ids]).tobytes())

    def digest(self) -> bytes:
        """Return the digest of the token ids so far.  16 bytes"""
        return self._hash.digest()


class SampledMessages:
    """Sampled tokens of messages, by the prompt before them and their text. Thread-safe."""

    def __init__(self, max_messages: int = MAX_MESSAGES) -> None:
        """Keep up to `max_messages`."""
        self._max_messages = max_messages
        self._messages: OrderedDict[tuple[bytes, str], tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._messages)

    def remember(self, prompt: PromptDigest, text: str, token_ids: Sequence[int]) -> None:
        """Keep the tokens of a message.

        Args:
            prompt: The prompt's token ids.
            text: The message.
            token_ids: Its sampled tokens, without the end-of-sequence token.
        """
        key = (prompt.digest(), text)
        with self._lock:
            self._messages[key] = tuple(token_ids)
            self._messages.move_to_end(key)
            if len(self._messages) > self._max_messages:
                self._messages.popitem(last=False)

    def recall(self, prompt: PromptDigest, text: str) -> tuple[int, ...] | None:
        """Return the sampled tokens of a message that follows a prompt, if they are kept."""
        key = (prompt.digest(), text)
        with self._lock:
            if key in self._messages:
                self._messages.move_to_end(key)
            return self._messages.get(key)
