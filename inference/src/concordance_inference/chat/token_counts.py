"""Lengths of texts in tokens, so that a long conversation is not tokenized in every turn."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from concordance_inference.caller import current_prefix_space

#: Limit of texts whose lengths are kept; the least recently used one is evicted first.
MAX_TEXTS = 65536

#: A shorter text is tokenized as fast as it is digested.
_SHORT = 64


class TokenCounts:
    """Lengths by text. Thread-safe."""

    def __init__(self, count: Callable[[str], int], max_texts: int = MAX_TEXTS) -> None:
        """Keep lengths.

        Args:
            count: Tokenizes a text, and returns its length.
            max_texts: Limit of texts.
        """
        self._count = count
        self._max_texts = max_texts
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, text: str) -> int:
        """Return the number of tokens of a text."""
        if len(text) < _SHORT:
            return self._count(text)
        space = current_prefix_space()
        key = hashlib.blake2b(text.encode(), digest_size=16, key=space.encode()).digest()
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        count = self._count(text)
        with self._lock:
            self._counts[key] = count
            if len(self._counts) > self._max_texts:
                self._counts.popitem(last=False)
        return count
