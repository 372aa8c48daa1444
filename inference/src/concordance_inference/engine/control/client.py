"""Sends commands to an engine's thread and waits for their outcome, from an event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from concordance_sdk.host.instance import RequestMod
from concordance_sdk.request_context import RequestContext
from concordance_shared import (
    ConcordanceError,
    EngineOverloadedError,
)

from concordance_inference.control import (
    APPLY_S,
    Command,
    Outcome,
    RequestStatus,
    RequestView,
)
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.control.ticket import Ticket
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.request.instances import READY_S, instance_within
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import ModCall

T = TypeVar("T")

#: The longest time that a read of the engine's state waits, in seconds.
_READ_S = 2.0


class EngineControl:
    """The running requests of an `EngineThread`. A `ControlClient`."""

    def __init__(
        self, thread: EngineThread, on_cancel: Callable[[str], None] | None = None
    ) -> None:
        """Use an engine.

        Args:
            thread: The engine.
            on_cancel: Called with the id of a request that is cancelled, which may be between two
                rounds of the engine.
        """
        self._thread = thread
        self._on_cancel = on_cancel

    @property
    def _traits(self) -> ModelTraits:
        assert self._thread.traits is not None, "started"
        return self._thread.traits

    def encode(self, text: str) -> tuple[int, ...]:
        """Encode a text as mods do."""
        return tuple(self._traits.tokenizer.encode(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Decode tokens, special ones by name."""
        return self._traits.tokenizer.decode(token_ids)

    def instance(self, call: ModCall, context: RequestContext) -> RequestMod:
        """Make an instance of a mod for a running request, on the calling thread."""
        return instance_within(READY_S, call, context, self._traits)

    async def send(self, request_id: str, command: Command) -> Outcome:
        """Wait until a command is applied; withdraw it if that takes too long."""
        future: asyncio.Future[Outcome | ConcordanceError] = asyncio.Future()
        ticket = Ticket(command, _setter(future))
        self._thread.call(
            lambda engine: engine.control.submit(request_id, ticket, engine.rows), ticket.reply
        )
        try:
            await asyncio.wait({future}, timeout=APPLY_S)
        except asyncio.CancelledError:
            ticket.withdraw()
            raise
        if not future.done() and ticket.withdraw():
            raise EngineOverloadedError(
                f"the action was not applied within {APPLY_S:.0f} s, and will not be; try again"
            )
        result = ticket.begun if not future.done() and ticket.begun else await future
        if isinstance(result, ConcordanceError):
            raise result
        return result

    async def view(self, request_id: str) -> RequestView:
        """Read a request."""
        view = await self._read(lambda engine: engine.control.view(request_id, engine.rows))
        if view is None:
            raise EngineOverloadedError("the engine does not respond in time; try again")
        if isinstance(view, ConcordanceError):
            raise view
        return view

    async def statuses(self) -> Mapping[str, RequestStatus]:
        """Return how far each request is; nothing if the engine does not respond."""
        return await self._read(lambda engine: engine.control.statuses(engine.rows)) or {}

    def cancel(self, request_id: str) -> None:
        """End a request, which then sends its last update."""
        if self._on_cancel is not None:
            self._on_cancel(request_id)
        self._thread.cancel(request_id)

    async def _read(self, read: Callable[[Engine], T]) -> T | None:
        """Run code between two steps and return its result; `None` if that takes too long."""
        future: asyncio.Future[T | None] = asyncio.Future()
        set_result = _setter(future)
        self._thread.call(lambda engine: set_result(read(engine)), lambda _: set_result(None))
        await asyncio.wait({future}, timeout=_READ_S)
        return future.result() if future.done() else None


def _setter(future: "asyncio.Future[T]") -> Callable[[T], None]:
    """Return a function that sets a result from any thread."""
    loop = future.get_loop()

    def set_once(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def set_result(result: T) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(set_once, result)

    return set_result
