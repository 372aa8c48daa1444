"""Serves an application until a signal, then ends the responses that are still running."""

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

logger = logging.getLogger(__name__)

#: Seconds that responses may continue after a signal to stop.
GRACE_S = 10.0

#: Seconds that connections have after that to receive the error.
_LAST_WORDS_S = 5


class HttpServer(uvicorn.Server):
    """A server that ends responses with an error in OpenAI's shape instead of cutting them off."""

    def __init__(
        self, config: uvicorn.Config, end_responses: Callable[[], None], *, grace_s: float = GRACE_S
    ) -> None:
        """Make a server.

        Args:
            config: uvicorn's configuration, with the application.
            end_responses: Ends every response with an error. May block; called at most once.
            grace_s: Seconds that responses may continue after a signal.
        """
        super().__init__(config)
        self._end_responses = end_responses
        self._grace_s = grace_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for running responses, then end them."""
        ending = asyncio.ensure_future(self._end_later())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_later(self) -> None:
        await asyncio.sleep(self._grace_s)
        logger.warning(
            "responses are still running %g s after the signal; ending them", self._grace_s
        )
        await asyncio.to_thread(self._end_responses)


def http_server(
    app: ASGIApp,
    end_responses: Callable[[], None],
    *,
    logs_requests: bool,
    grace_s: float = GRACE_S,
) -> HttpServer:
    """Make a server of an application.

    Args:
        app: The application.
        end_responses: Ends every response with an error.
        logs_requests: Log every request.
        grace_s: Seconds that responses may continue after a signal.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=logs_requests,
        timeout_graceful_shutdown=round(grace_s) + _LAST_WORDS_S,
        lifespan="off",
    )
    return HttpServer(config, end_responses, grace_s=grace_s)
