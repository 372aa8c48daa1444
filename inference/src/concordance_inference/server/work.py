"""Runs work that grows with a request's size on background threads, a bounded number at a time.

On the event loop it would stall every stream. On background threads it shares the GIL with the
engine's thread: tokenizing releases it, and Python code is switched out every few milliseconds.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from concordance_shared import EngineOverloadedError

from concordance_inference.caller import current_owner

Result = TypeVar("Result")

#: Requests of more bytes than this are read one at a time.
_LARGE = 64 * 1024

#: Threads for each kind of work. A kind never waits for another.
_NUM_THREADS: Mapping[str, int] = {
    "small requests": 4,
    "large requests": 1,
    "mods": 4,
    "uploads": 2,
    "lookups": 2,
    "commands": 2,
    "responses": 2,
}

#: Limit of requests that wait for any kind of work except encoding a response.
MAX_WAITING = 256

#: Those of one owner of keys.
MAX_OF_OWNER = 64


class Workers:
    """Worker threads of one application."""

    def __init__(self) -> None:
        """Start no threads; each is started when it is needed."""
        self._limiters: dict[str, CapacityLimiter] = {}
        self._num_waiting = 0
        self._of_owners: Counter[str] = Counter()

    async def read(self, function: Callable[[], Result], *, num_bytes: int) -> Result:
        """Run a function that decodes a request of `num_bytes`. Cancelling waits for it.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
        """
        kind = "large requests" if num_bytes > _LARGE else "small requests"
        return await self._bounded(function, kind)

    async def prepare(self, function: Callable[[], Result]) -> Result:
        """Run a function that makes the mods of a request. Cancelling waits for it.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
        """
        return await self._bounded(function, "mods")

    async def load(self, function: Callable[[], Result]) -> Result:
        """Run a function that loads an upload. Cancelling waits for it.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
        """
        return await self._bounded(function, "uploads")

    async def look_up(self, function: Callable[[], Result]) -> Result:
        """Run a function that looks up mods, whose changed files are loaded again.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
        """
        return await self._bounded(function, "lookups")

    async def command(self, function: Callable[[], Result]) -> Result:
        """Run a function that decodes an action on a running request.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
        """
        return await self._bounded(function, "commands")

    async def encode(self, function: Callable[[], Result]) -> Result:
        """Run a function that encodes a response: never refused, whatever else is waiting."""
        return await to_thread.run_sync(function, limiter=self._limiter("responses"))

    async def _bounded(self, function: Callable[[], Result], kind: str) -> Result:
        if self._num_waiting >= MAX_WAITING:
            raise EngineOverloadedError(
                f"the server already reads {MAX_WAITING} requests; try again later"
            )
        owner = current_owner()
        if owner and self._of_owners[owner] >= MAX_OF_OWNER:
            raise EngineOverloadedError(
                f"the server already reads {MAX_OF_OWNER} requests of your key; try again later"
            )
        self._num_waiting += 1
        self._of_owners[owner] += 1
        try:
            return await to_thread.run_sync(function, limiter=self._limiter(kind))
        finally:
            self._num_waiting -= 1
            self._of_owners[owner] -= 1
            if not self._of_owners[owner]:
                del self._of_owners[owner]

    def _limiter(self, kind: str) -> CapacityLimiter:
        """The limiter of a kind of work; made on the event loop, to which it belongs."""
        if kind not in self._limiters:
            self._limiters[kind] = CapacityLimiter(_NUM_THREADS[kind])
        return self._limiters[kind]
