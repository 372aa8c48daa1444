"""Server-sent events, framed as OpenAI's clients expect them.

A stream is a chain of generators, each of which closes the next one when it is closed:

    StreamingResponse <- _kept_alive (comments while idle) <- exchange._events (updates as bytes)
    <- updates._with_first (the update waited for) <- EngineClient.generate (updates)

A client that disconnects closes the outermost; the innermost then cancels the request.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

#: Seconds without an event after which a comment is sent, so that proxies keep the connection.
KEEP_ALIVE_S = 10.0

DONE = b"data: [DONE]\n\n"
_PING = b": keep-alive\n\n"

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event(data: Any) -> bytes:
    """Encode one event: a line of JSON."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """Make a response that sends events as they come, and comments while none does."""
    return StreamingResponse(
        _kept_alive(events), media_type="text/event-stream; charset=utf-8", headers=_HEADERS
    )


async def _kept_alive(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The events, with a comment after each `KEEP_ALIVE_S` without one."""
    pending = asyncio.ensure_future(anext(events, None))
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=KEEP_ALIVE_S)
            if not done:
                yield _PING
                continue
            data = pending.result()
            if data is None:
                return
            yield data
            pending = asyncio.ensure_future(anext(events, None))
    finally:
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        if isinstance(events, AsyncGenerator):
            await events.aclose()
