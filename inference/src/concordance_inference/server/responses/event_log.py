"""The events of a response that runs in the background: clients follow them from any point on."""

import asyncio
from collections.abc import AsyncGenerator, Iterable


class EventLog:
    """Events that are appended until the response ends. Belongs to an event loop."""

    def __init__(self) -> None:
        """Start without events."""
        self._events: list[bytes] = []
        self._num_bytes = 0
        self._is_over = False
        self._grown = asyncio.Event()

    @property
    def num_bytes(self) -> int:
        """The size of the events."""
        return self._num_bytes

    def add(self, events: Iterable[bytes]) -> None:
        """Append events, on any thread; followers get them after `wake`."""
        for event in events:
            self._events.append(event)
            self._num_bytes += len(event)

    def wake(self, *, is_over: bool = False) -> None:
        """Continue the followers, on the event loop.

        Args:
            is_over: No more events follow.
        """
        self._is_over = self._is_over or is_over
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def follow(self, first: int = 0) -> AsyncGenerator[bytes]:
        """The events from an index on, as they come, to the last one."""
        index = first
        while True:
            while index < len(self._events):
                yield self._events[index]
                index += 1
            if self._is_over:
                return
            await self._grown.wait()
