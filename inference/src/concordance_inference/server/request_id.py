"""The id of an HTTP request, in its response, in the log, and in what the engine runs for it."""

import itertools
import logging
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concordance_inference.generation import request_ids
from concordance_inference.server.errors import error_response, unexpected

logger = logging.getLogger(__name__)

HEADER = "X-Request-Id"

_current: ContextVar[str | None] = ContextVar("http_request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the HTTP request that this code runs for, also on its worker threads."""
    return _current.get()


class RequestIds:
    """Gives each HTTP request an id. The outermost middleware, so that refusals have one too."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request with a new id; one whose handler fails gets an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        _current.set(request_id)  # each request runs in a task, which has a context of its own
        request_ids.set(_ids(request_id))
        header = (HEADER.lower().encode(), request_id.encode())
        has_started = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers: list[Any] = [*message.get("headers", ()), header]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as exc:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if has_started:
                raise
            await error_response(unexpected(exc))(scope, receive, send_with_id)


def _ids(request_id: str) -> Iterator[str]:
    """The ids of the generations of a request; the first is that of the request itself."""
    yield request_id
    for i in itertools.count(1):
        yield f"{request_id}-{i}"
