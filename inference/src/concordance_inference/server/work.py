"""Runs what takes time with a request's size on worker threads, a bounded number at a time.

On the event loop it would stop every stream. On worker threads it takes turns with the engine's
thread: tokenizing lets that run, and Python code is interrupted every few milliseconds.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from concordance_shared import EngineOverloadedError
from starlette.requests import Request

Result = TypeVar("Result")

#: A request of more bytes than this is a large one.
_LARGE = 64 * 1024

#: How many small requests are read at a time, how many large ones, for how many the mods get ready,
#: how many uploads are loaded, how many lists are looked up, and how many ends of answers are
#: encoded. None of these waits for another.
_NUM_THREADS: Mapping[str, int] = {
    "small": 4,
    "large": 1,
    "mods": 4,
    "uploads": 2,
    "lists": 2,
    "ends": 2,
}

#: How many requests wait for any of these but the last, at most.
MAX_WAITING = 256


class Workers:
    """Worker threads of one application."""

    def __init__(self) -> None:
        """Start with none; threads are started when they are needed."""
        self._limiters: dict[str, CapacityLimiter] = {}
        self._num_reading = 0

    async def read(self, function: Callable[[], Result], *, num_bytes: int) -> Result:
        """Run a function that reads a request. Cancelling waits for it.

        Args:
            function: What is run.
            num_bytes: The size of the request.

        Raises:
            EngineOverloadedError: Too many requests wait to be read already.
        """
        return await self._bounded(function, "large" if num_bytes > _LARGE else "small")

    async def get_ready(self, function: Callable[[], Result]) -> Result:
        """Run a function that makes the mods of a request. Cancelling waits for it.

        Raises:
            EngineOverloadedError: Too many requests wait already.
        """
        return await self._bounded(function, "mods")

    async def load(self, function: Callable[[], Result]) -> Result:
        """Run a function that loads an upload. Cancelling waits for it.

        Raises:
            EngineOverloadedError: Too many requests wait already.
        """
        return await self._bounded(function, "uploads")

    async def look_up(self, function: Callable[[], Result]) -> Result:
        """Run a function that looks mods up, whose files may have to be read again.

        Raises:
            EngineOverloadedError: Too many requests wait already.
        """
        return await self._bounded(function, "lists")

    async def end(self, function: Callable[[], Result]) -> Result:
        """Run a function that encodes an answer. It is never refused, and waits for its like."""
        return await to_thread.run_sync(function, limiter=self._limiter("ends"))

    async def _bounded(self, function: Callable[[], Result], kind: str) -> Result:
        if self._num_reading >= MAX_WAITING:
            raise EngineOverloadedError(
                f"{MAX_WAITING} requests wait to be read already; try again later"
            )
        self._num_reading += 1
        try:
            return await to_thread.run_sync(function, limiter=self._limiter(kind))
        finally:
            self._num_reading -= 1

    def _limiter(self, kind: str) -> CapacityLimiter:
        """The limiter of a kind of work; made on the event loop, to which it belongs."""
        if kind not in self._limiters:
            self._limiters[kind] = CapacityLimiter(_NUM_THREADS[kind])
        return self._limiters[kind]


def workers_of(request: Request) -> Workers:
    """The worker threads of the application that serves a request."""
    workers = request.app.state.workers
    assert isinstance(workers, Workers)
    return workers
