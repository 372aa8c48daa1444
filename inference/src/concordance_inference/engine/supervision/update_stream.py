"""Brings the engine's updates to an event loop: all that are ready in one call of the loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from concordance_inference.generation import Completed, Failed, GenerationRequest, Update


class Mailbox:
    """Passes updates to the streams of one event loop. `post` is called on any thread.

    The loop is woken once for all updates that are posted before it runs: once for a step of the
    engine, not once for each row.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on an event loop."""
        self._loop = loop
        self._posted: deque[tuple[Callable[[Update], None], Update]] = deque()
        self._is_scheduled = False

    def post(self, receive: Callable[[Update], None], update: Update) -> None:
        """Call `receive(update)` on the loop, unless it is closed."""
        self._posted.append((receive, update))
        if self._is_scheduled:
            return
        self._is_scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _deliver(self) -> None:
        self._is_scheduled = False  # first: what is posted from here on schedules another delivery
        posted = self._posted
        while posted:
            receive, update = posted.popleft()
            receive(update)


Submit = Callable[[GenerationRequest, Callable[[Update], None]], None]


class UpdateStream:
    """The updates of a request, which the first `anext` submits. Closing it cancels the request."""

    def __init__(
        self, request: GenerationRequest, submit: Submit, cancel: Callable[[str], None]
    ) -> None:
        """Make a stream of a request that is not submitted yet.

        Args:
            request: The request.
            submit: Submits it, and calls its second argument with each update on the event loop
                that runs.
            cancel: Cancels it, by its id.
        """
        self._request = request
        self._submit: Submit | None = submit
        self._cancel = cancel
        self._ready: deque[Update] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_over = False

    def __aiter__(self) -> "UpdateStream":
        """Iterate over the updates."""
        return self

    async def __anext__(self) -> Update:
        """Wait for the next update; `Completed` or `Failed` is the last.

        Raises:
            EngineOverloadedError: Too many requests run or wait.
            EngineStoppedError: The engine takes no requests.
        """
        if self._submit:
            submit, self._submit = self._submit, None
            try:
                submit(self._request, self._receive)
            except BaseException:
                self._is_over = True
                raise
        while not self._ready:
            if self._is_over:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._taken()

    def take(self) -> Sequence[Update]:
        """Return the updates that are there already, without the last one of the request."""
        ready = self._ready
        if not ready:
            return ()
        return [
            self._taken() for _ in range(len(ready) - isinstance(ready[-1], Completed | Failed))
        ]

    async def aclose(self) -> None:
        """Cancel the request unless it is over."""
        self.__del__()
        self._ready.clear()

    def __del__(self) -> None:
        """Cancel a request whose stream was dropped."""
        if not self._is_over and not self._submit:
            self._cancel(self._request.request_id)
        self._is_over, self._submit = True, None

    def _taken(self) -> Update:
        update = self._ready.popleft()
        self._is_over = isinstance(update, Completed | Failed)
        return update

    def _receive(self, update: Update) -> None:
        self._ready.append(update)
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
