"""Server-sent events, framed as OpenAI's clients expect them.

A stream is a chain of iterators, each of which closes the next one when it is closed:

    EventStream <- exchange._events (bytes) <- updates._with_first (the updates waited for)
    <- EngineClient.generate (updates)

A client that disconnects closes the outermost; the innermost then cancels the request. Nothing
here makes a task or a timer for an event: a task of its own sends comments while no event comes.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

#: Seconds without an event after which a comment is sent, so that proxies keep the connection.
KEEP_ALIVE_S = 10.0

DONE = b"data: [DONE]\n\n"

#: What keeps a connection of OpenAI's APIs: a comment.
KEEP_ALIVE = b": keep-alive\n\n"

_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def event(data: Any) -> bytes:
    """Encode one event: a line of JSON."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


def named_event(name: str, data: Any) -> bytes:
    """Encode one event with a name, as the Responses API and Anthropic's have them."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


class EventStream(StreamingResponse):
    """A response that sends events as they come.

    Attributes:
        keep_alive: Sent while no event comes.
    """

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        """Send events, each of which may be several in one."""
        super().__init__(events, media_type="text/event-stream; charset=utf-8", headers=_HEADERS)
        self._events = events
        self.keep_alive = KEEP_ALIVE
        self._sent_at = 0.0
        self._on_end: list[Callable[[], object]] = []

    def on_end(self, call: Callable[[], object]) -> None:
        """Call a function, beside others, when the response has ended, however it does."""
        self._on_end.append(call)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response until it ends or the client disconnects."""
        del scope
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(self.listen_for_disconnect(receive))
        pinging = asyncio.ensure_future(self._ping(send))
        tasks = (sending, leaving, pinging)
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for call in self._on_end:
                call()

    async def _send(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self._sent_at = loop.time()
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self._events):
            await send(start)
            async for data in self._events:
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._sent_at = loop.time()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _ping(self, send: Send) -> None:
        """Keep the connection after each `KEEP_ALIVE_S` without an event."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + KEEP_ALIVE_S - loop.time()))
            if loop.time() >= self._sent_at + KEEP_ALIVE_S:
                self._sent_at = loop.time()
                await send(
                    {"type": "http.response.body", "body": self.keep_alive, "more_body": True}
                )
