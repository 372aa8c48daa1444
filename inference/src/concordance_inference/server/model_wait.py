"""Waits for the model of a request while it is loaded.

The response of a stream starts meanwhile, so that proxies and clients keep the connection; an
error of the load is then one of its events.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request

from concordance_inference.server import updates
from concordance_inference.server.transport import sse
from concordance_inference.server.transport.disconnect import unless_disconnected

Result = TypeVar("Result")

#: The events of a stream that fails before there is anything else of it, from the body of the
#: error in OpenAI's shape and the id of the request.
ErrorEvents = Callable[[dict[str, Any], str], bytes]


class _Wishes(Struct):
    stream: bool | None = None
    background: bool | None = None


def waits_for_events(raw: bytes) -> bool:
    """Return True if the body of a request asks for a stream of its own connection."""
    try:
        wishes = msgspec.json.decode(raw, type=_Wishes)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False  # reading it says what is wrong
    return bool(wishes.stream) and not wishes.background


async def wait_or_start(
    request: Request, work: Awaitable[Result], *, streams: bool
) -> "Result | asyncio.Future[Result]":
    """Wait for work that needs a model to be loaded; cancel it if the client disconnects.

    Args:
        request: The request.
        work: What is waited for.
        streams: The response is a stream.

    Returns:
        The result; for a stream that has waited for `updates.PATIENCE_S`, the task.

    Raises:
        ClientDisconnect: The client disconnected.
    """
    task = asyncio.ensure_future(work)
    if streams:
        try:
            waiting = asyncio.wait({task}, timeout=updates.PATIENCE_S)
            await unless_disconnected(request, waiting)
        except BaseException:
            task.cancel()
            raise
        if not task.done():
            return task
    return await unless_disconnected(request, task)


def error_event(error: dict[str, Any], request_id: str) -> bytes:
    """The events of a stream that fails, as OpenAI's clients of completions expect them."""
    del request_id
    return sse.event(error) + sse.DONE
