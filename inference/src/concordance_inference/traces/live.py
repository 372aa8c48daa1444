"""Sends the traces that grow to those who watch, each of which may be slow."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from concordance_inference.caller import current_caller

#: Messages that may wait for one watcher; the oldest are dropped.
MAX_WAITING = 2_000

#: Bytes of them.
MAX_BYTES = 32_000_000


class Watcher:
    """A queue of encoded messages for one reader. It never keeps the writer waiting.

    Attributes:
        trace_id: The only trace it gets; `None` for all.
        caller: Who reads it, and sees its own only.
        num_dropped: Messages that were dropped since the last call of `take`.
    """

    def __init__(self, wake: Callable[[], object], trace_id: str | None = None) -> None:
        """Start without messages.

        Args:
            wake: Called, on any thread, when there are messages.
            trace_id: The only trace to send.
        """
        self.trace_id = trace_id
        self.caller = current_caller()
        self.num_dropped = 0
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._num_bytes = 0

    def wants(self, trace_id: str, owner: str) -> bool:
        """True if it gets a trace of an owner."""
        is_named = self.trace_id is None or trace_id in (
            self.trace_id,
            f"{self.trace_id}@{self.caller.owner}",
        )
        return is_named and self.caller.sees(owner)

    def put(self, messages: Sequence[bytes]) -> None:
        """Add messages."""
        with self._lock:
            for message in messages:
                self._waiting.append(message)
                self._num_bytes += len(message)
            while len(self._waiting) > MAX_WAITING or self._num_bytes > MAX_BYTES:
                self._num_bytes -= len(self._waiting.popleft())
                self.num_dropped += 1
        self._wake()

    def take(self) -> tuple[list[bytes], int]:
        """Return the messages that wait, and how many were dropped before them."""
        with self._lock:
            messages, dropped = list(self._waiting), self.num_dropped
            self._waiting.clear()
            self._num_bytes = self.num_dropped = 0
        return messages, dropped


class Watchers:
    """All who watch. Thread-safe."""

    def __init__(self) -> None:
        """Start without one."""
        self._watchers: tuple[Watcher, ...] = ()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """True if anyone watches."""
        return bool(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """Send messages to one more."""
        with self._lock:
            self._watchers = (*self._watchers, watcher)

    def remove(self, watcher: Watcher) -> None:
        """Send no more messages to one."""
        with self._lock:
            self._watchers = tuple(each for each in self._watchers if each is not watcher)

    def has_any_of(self, owner: str) -> bool:
        """True if an owner watches."""
        return any(each.caller.owner == owner for each in self._watchers)

    def send(self, trace_id: str, owner: str, messages: Sequence[dict[str, Any]]) -> None:
        """Encode messages about a trace of an owner once, and send them to all who watch it."""
        watchers = [each for each in self._watchers if each.wants(trace_id, owner)]
        if not watchers:
            return
        encoded = [msgspec.json.encode(message) for message in messages]
        for watcher in watchers:
            watcher.put(encoded)
