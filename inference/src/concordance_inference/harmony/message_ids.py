"""Token ids of messages, so that a conversation is not tokenized again in every turn.

A message has the same tokens wherever it is, so this is exact.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from concordance_inference.caller import current_prefix_space
from concordance_inference.harmony.message import HarmonyMessage

#: Limit of token ids that are kept; the least recently used message is evicted first.
MAX_IDS = 2 * 1024 * 1024


class MessageKey(Struct, frozen=True):
    """What the token ids of a message depend on."""

    message: HarmonyMessage
    allows_control_tokens: bool
    space: str = field(default_factory=current_prefix_space)  # what is known there, is not here


class MessageIds:
    """Token ids by message. Thread-safe."""

    def __init__(self, make: Callable[[MessageKey], Sequence[int]], max_ids: int = MAX_IDS) -> None:
        """Keep the ids of messages.

        Args:
            make: Tokenizes a message.
            max_ids: Limit of ids that are kept.
        """
        self._make = make
        self._max_ids = max_ids
        self._ids: OrderedDict[MessageKey, Sequence[int]] = OrderedDict()
        self._num_ids = 0
        self._lock = threading.Lock()

    def of(self, key: MessageKey) -> Sequence[int]:
        """Return the token ids of a message."""
        with self._lock:
            if key in self._ids:
                self._ids.move_to_end(key)
                return self._ids[key]
        made = array("I", self._make(key))
        with self._lock:
            if key not in self._ids:
                self._ids[key] = made
                self._num_ids += len(made)
                self._evict()
        return made

    def _evict(self) -> None:
        while self._num_ids > self._max_ids:
            _, ids = self._ids.popitem(last=False)
            self._num_ids -= len(ids)
