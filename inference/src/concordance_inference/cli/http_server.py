"""Runs an application until a signal ends it, and ends the answers that still run."""

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

#: How long answers that run may go on after a signal to end, in seconds.
GRACE_S = 10.0

#: How long connections may take to be told of the end after that, in seconds.
_LAST_WORDS_S = 5


class HttpServer(uvicorn.Server):
    """A server that does not cut off its answers: they end with an error in OpenAI's shape."""

    def __init__(
        self, config: uvicorn.Config, end_answers: Callable[[], None], *, grace_s: float = GRACE_S
    ) -> None:
        """Make a server.

        Args:
            config: What is served, and how.
            end_answers: Ends every answer with an error. May block, and is called once at most.
            grace_s: How long answers may go on after a signal, in seconds.
        """
        super().__init__(config)
        self._end_answers = end_answers
        self._grace_s = grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for the answers that run, then end them."""
        ending = asyncio.ensure_future(self._end_later())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_later(self) -> None:
        await asyncio.sleep(self._grace_s)
        logger.warning("answers still run %g s after the signal; they are ended", self._grace_s)
        await asyncio.to_thread(self._end_answers)


def http_server(
    app: ASGIApp, end_answers: Callable[[], None], *, logs_requests: bool, grace_s: float = GRACE_S
) -> HttpServer:
    """A server of an application.

    Args:
        app: The application.
        end_answers: Ends every answer with an error.
        logs_requests: Whether every request is logged.
        grace_s: How long answers may go on after a signal, in seconds.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=logs_requests,
        timeout_graceful_shutdown=round(grace_s) + _LAST_WORDS_S,
        lifespan="off",
    )
    return HttpServer(config, end_answers, grace_s=grace_s)
