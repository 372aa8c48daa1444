"""Responses that are generated without a connection: clients poll, follow or cancel them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from concordance_inference.server.responses.event_log import EventLog
from concordance_inference.server.responses.items import Item

logger = logging.getLogger(__name__)

#: Runs a function on a worker thread.
Work = Callable[[Callable[[], list[bytes]]], Awaitable[list[bytes]]]


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

    def begin(self) -> list[bytes]:
        """The events of the new response."""
        ...

    def cancel(self, num_sent: int) -> list[bytes]:
        """End the response, and return the events after the first `num_sent`."""
        ...


class BackgroundRun:
    """A response that runs."""

    def __init__(self, writer: BackgroundWriter) -> None:
        """Run the response of a writer."""
        self.writer = writer
        self._num_events = 0

    async def drive(self, events: AsyncGenerator[bytes], encode: Work) -> None:
        """Append events until the last one. Cancelling ends the response."""
        try:
            self._add(self.writer.begin())
            async with aclosing(events):
                async for event in events:
                    self._add((event,))
        finally:
            self._add(await encode(lambda: self.writer.cancel(self._num_events)))
            if self.writer.log is not None:
                self.writer.log.end()

    def _add(self, events: Sequence[bytes]) -> None:
        self._num_events += len(events)
        if self.writer.log is not None:
            self.writer.log.add(events)


class BackgroundRuns:
    """The responses that run in the background, by their ids. Belongs to an event loop."""

    def __init__(self) -> None:
        """Start without responses."""
        self._runs: dict[str, BackgroundRun] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, writer: BackgroundWriter, events: AsyncGenerator[bytes], encode: Work) -> None:
        """Run a response to its end.

        Args:
            writer: Writes it.
            events: Its events, which advance it.
            encode: Runs the end of a response that is cancelled on a worker thread.
        """
        run = BackgroundRun(writer)
        task = asyncio.ensure_future(run.drive(events, encode))
        self._runs[writer.id], self._tasks[writer.id] = run, task
        task.add_done_callback(lambda _: self._forget(writer.id))

    def find(self, response_id: str) -> BackgroundRun | None:
        """Return a response that runs."""
        return self._runs.get(response_id)

    async def cancel(self, response_id: str) -> None:
        """End a response that runs; wait until it is stored."""
        task = self._tasks.get(response_id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _forget(self, response_id: str) -> None:
        task = self._tasks.pop(response_id, None)
        self._runs.pop(response_id, None)
        if task is not None and not task.cancelled() and task.exception():
            logger.error("the response %s ended early", response_id, exc_info=task.exception())
