"""Runs what takes time with a request's size on worker threads, a bounded number at a time.

On the event loop it would stop every stream. On worker threads it takes turns with the engine's
thread: tokenizing lets that run, and Python code is interrupted every few milliseconds.
"""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from concordance_shared import EngineOverloadedError

Result = TypeVar("Result")

#: A request of more bytes than this is a large one.
_LARGE = 64 * 1024

#: How many small requests are read at a time, how many large ones, which do not hold up the small
#: ones, and how many ends of answers are encoded.
_NUM_SMALL, _NUM_LARGE, _NUM_ENDS = 4, 1, 2

#: How many requests wait to be read at most.
MAX_WAITING = 256


class Workers:
    """Worker threads of one application."""

    def __init__(self) -> None:
        """Start with none; threads are started when they are needed."""
        self._limiters: dict[int, CapacityLimiter] = {}
        self._num_reading = 0

    async def read(self, function: Callable[[], Result], *, num_bytes: int) -> Result:
        """Run a function that reads a request. Cancelling waits for it.

        Args:
            function: What is run.
            num_bytes: The size of the request.

        Raises:
            EngineOverloadedError: Too many requests wait to be read already.
        """
        if self._num_reading >= MAX_WAITING:
            raise EngineOverloadedError(
                f"{MAX_WAITING} requests wait to be read already; try again later"
            )
        self._num_reading += 1
        try:
            num_threads = _NUM_LARGE if num_bytes > _LARGE else _NUM_SMALL
            return await to_thread.run_sync(function, limiter=self._limiter(num_threads))
        finally:
            self._num_reading -= 1

    async def end(self, function: Callable[[], Result]) -> Result:
        """Run a function that encodes an answer. It is never refused, and waits for its like."""
        return await to_thread.run_sync(function, limiter=self._limiter(_NUM_ENDS))

    def _limiter(self, num_threads: int) -> CapacityLimiter:
        """The limiter of so many threads; made on the event loop, to which it belongs."""
        if num_threads not in self._limiters:
            self._limiters[num_threads] = CapacityLimiter(num_threads)
        return self._limiters[num_threads]
