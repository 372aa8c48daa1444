"""Responses that are generated without a connection: clients poll, follow or cancel them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Protocol

from concordance_inference.caller import current_owner
from concordance_inference.server.responses.event_log import EventLog
from concordance_inference.server.responses.items import Item

logger = logging.getLogger(__name__)

#: Runs a function on a background thread.
Work = Callable[[Callable[[], object]], Awaitable[object]]


class BackgroundWriter(Protocol):
    """The writer of a response that can be read and ended while it runs."""

    @property
    def log(self) -> EventLog | None:
        """The events, if clients may follow them."""
        ...

    @property
    def id(self) -> str:
        """The id of the response."""
        ...

    @property
    def context(self) -> tuple[Item, ...]:
        """The conversation before it."""
        ...

    def body(self) -> dict[str, Any]:
        """The response so far."""
        ...

    def begin(self) -> object:
        """Make the events of the new response."""
        ...

    def cancel(self) -> object:
        """Make the events of a response that is cancelled, unless it has ended."""
        ...


async def _drive(writer: BackgroundWriter, events: AsyncGenerator[bytes], work: Work) -> None:
    """Run a response to its last event. Cancelling ends the response."""
    log = writer.log or EventLog()
    try:
        writer.begin()
        log.wake()
        async with aclosing(events):
            async for _ in events:
                log.wake()
    finally:
        await work(writer.cancel)
        log.wake(is_over=True)


class BackgroundRuns:
    """The responses that run in the background, by their ids. Belongs to an event loop."""

    def __init__(self) -> None:
        """Start without responses."""
        self._writers: dict[str, BackgroundWriter] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._owners: dict[str, str] = {}

    def start(
        self,
        writer: BackgroundWriter,
        events: AsyncGenerator[bytes],
        work: Work,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Run a response to its end.

        Args:
            writer: Writes it.
            events: Its events, which the writer adds to its log.
            work: Runs a function on a background thread.
            on_end: Called when the response has ended, however it does.
        """
        task = asyncio.ensure_future(_drive(writer, events, work))
        self._writers[writer.id], self._tasks[writer.id] = writer, task
        self._owners[writer.id] = current_owner()
        task.add_done_callback(lambda _: self._forget(writer.id, on_end))

    def find(self, response_id: str) -> BackgroundWriter | None:
        """Return the writer of a response of the present owner that runs."""
        is_own = self._owners.get(response_id) == current_owner()
        return self._writers.get(response_id) if is_own else None

    async def cancel(self, response_id: str) -> None:
        """End a response of the present owner that runs; wait until it is stored."""
        task = self._tasks.get(response_id)
        if task is not None and self.find(response_id) is not None:
            task.cancel()
            await asyncio.wait({task})

    def _forget(self, response_id: str, on_end: Callable[[], None] | None) -> None:
        task = self._tasks.pop(response_id, None)
        self._writers.pop(response_id, None)
        self._owners.pop(response_id, None)
        if on_end is not None:
            on_end()
        if task is not None and not task.cancelled() and task.exception():
            logger.error("the response %s ended early", response_id, exc_info=task.exception())
        else:
            logger.info("the response %s in the background ended", response_id)
