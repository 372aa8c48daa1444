"""Serves an application until a signal, then ends the responses that are still running."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from concordance_inference.server.limits import Limits
from concordance_inference.server.transport.http_protocol import HttpProtocol

logger = logging.getLogger(__name__)

#: Seconds that responses may continue after a signal to stop.
GRACE_S = Limits().drain_s

#: Seconds that connections have after that to receive the error.
_LAST_WORDS_S = 5

#: Seconds between two checks for responses that cannot continue.
_POLL_S = 0.25


async def _nothing() -> None:
    """Start nothing."""


class HttpServer(uvicorn.Server):
    """A server that ends responses with an error in OpenAI's shape instead of cutting them off.

    Attributes:
        failure: What `on_start` raised, which ends the server.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        end_responses: Callable[[], None],
        *,
        grace_s: float = GRACE_S,
        is_stuck: Callable[[], bool] = lambda: False,
        on_start: Callable[[], Awaitable[None]] = _nothing,
        on_signal: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Make a server.

        Args:
            config: uvicorn's configuration, with the application.
            end_responses: Ends every response with an error. May block; called at most once.
            grace_s: Seconds that responses may continue after a signal.
            is_stuck: True if no response can continue, so that there is nothing to wait for.
            on_start: Called once the server listens.
            on_signal: Called with each signal to stop.
        """
        super().__init__(config)
        self._end_responses = end_responses
        self._grace_s = grace_s
        self._is_stuck = is_stuck
        self._on_start = on_start
        self._on_signal = on_signal
        self._ends_now = False
        self._starting: asyncio.Task[None] | None = None
        self.failure: Exception | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and call `on_start`."""
        await super().startup(sockets)
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        try:
            await self._on_start()
        except Exception as exc:
            self.failure, self.should_exit = exc, True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to shut down; a second signal ends the responses at once."""
        self._on_signal(sig)
        if self.should_exit:
            self._ends_now = True
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for running responses, then end them."""
        ending = asyncio.ensure_future(self._end_later())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_later(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        while loop.time() < started + self._grace_s and not (self._ends_now or self._is_stuck()):
            await asyncio.sleep(min(_POLL_S, self._grace_s))
        logger.warning(
            "responses are still running %.0f s after the signal; ending them",
            loop.time() - started,
        )
        await asyncio.to_thread(self._end_responses)


def http_server(
    app: ASGIApp,
    end_responses: Callable[[], None],
    *,
    limits: Limits | None = None,
    grace_s: float | None = None,
    is_stuck: Callable[[], bool] = lambda: False,
    on_start: Callable[[], Awaitable[None]] = _nothing,
    on_signal: Callable[[int], None] = lambda _: None,
) -> HttpServer:
    """Make a server of an application.

    Args:
        app: The application.
        end_responses: Ends every response with an error.
        limits: Limits of connections, and of the time that responses may continue after a signal.
        grace_s: This time, if it is not that of the limits.
        is_stuck: True if no response can continue.
        on_start: Called once the server listens; what it raises ends the server.
        on_signal: Called with each signal to stop.
    """
    limits = Limits() if limits is None else limits
    grace_s = limits.drain_s if grace_s is None else grace_s
    config = uvicorn.Config(
        app,
        http=cast(Any, partial(HttpProtocol, limits=limits)),
        ws="none",
        log_config=None,
        server_header=False,
        access_log=False,
        timeout_keep_alive=cast(int, limits.keep_alive_s),
        timeout_graceful_shutdown=round(grace_s) + _LAST_WORDS_S,
        lifespan="off",
    )
    return HttpServer(
        config,
        end_responses,
        grace_s=grace_s,
        is_stuck=is_stuck,
        on_start=on_start,
        on_signal=on_signal,
    )
