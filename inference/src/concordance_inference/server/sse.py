"""Server-sent events, framed as OpenAI's clients expect them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
from starlette.responses import StreamingResponse

#: So that proxies and clients do not take a long prompt for a dead connection, in seconds.
KEEP_ALIVE_S = 10.0

DONE = b"data: [DONE]\n\n"
_PING = b": keep-alive\n\n"

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event(data: Any) -> bytes:
    """One event: a line of JSON."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def event_stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    """A response that sends events as they come, and comments while none comes."""
    return StreamingResponse(
        _kept_alive(events), media_type="text/event-stream; charset=utf-8", headers=_HEADERS
    )


async def _kept_alive(events: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The events, with a comment wherever one takes long."""
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
