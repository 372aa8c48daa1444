"""The id of an HTTP request, in its response, in the log, and in what the engine runs for it."""

import itertools
import logging
import re
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from concordance_shared import InvalidRequestError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concordance_inference.generation import request_ids
from concordance_inference.server.transport.errors import error_response, unexpected

logger = logging.getLogger(__name__)

HEADER = "X-Request-Id"

#: The longest id that a client may choose, in characters.
MAX_ID = 512

#: An id that a client may choose: visible ASCII, since proxies write ids of many forms.
_ID = re.compile(rf"[!-~]{{1,{MAX_ID}}}")

_current: ContextVar[str | None] = ContextVar("http_request_id", default=None)

#: The id that the client of this request has chosen.
_chosen: ContextVar[str | None] = ContextVar("chosen_request_id", default=None)


def current_request_id() -> str | None:
    """Return the id of the HTTP request that this code runs for, also on its background threads."""
    return _current.get()


class RequestIds:
    """Gives each HTTP request an id, unless its client has chosen one.

    The outermost middleware, so that refusals have one too.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; one whose handler fails gets an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chosen = Headers(scope=scope).get(HEADER) or None
        error = None if chosen is None or _ID.fullmatch(chosen) else _malformed(chosen)
        request_id = chosen if chosen is not None and not error else uuid.uuid4().hex
        _chosen.set(chosen)
        _use(request_id)
        header = (HEADER.lower().encode(), request_id.encode())
        has_started = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers: list[Any] = [*message.get("headers", ()), header]
                message = {**message, "headers": headers}
            await send(message)

        if error:
            await error_response(error)(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as exc:
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if has_started:
                raise
            await error_response(unexpected(exc))(scope, receive, send_with_id)


def own_ids(owner: str) -> None:
    """Make the id that a client has chosen one that no other owner can choose.

    Two keys may both call a request `1`. Of the owner `ann`, it is `1@ann` from here on; an id
    that the server has made is no other owner's already.
    """
    chosen = _chosen.get()
    if owner and chosen is not None:
        _use(f"{chosen}@{owner}")


def own_request_id() -> str:
    """Return the id of the HTTP request; a new one outside of requests."""
    return current_request_id() or uuid.uuid4().hex


def _use(request_id: str) -> None:
    """Set the id of this request, which runs in a task with a context of its own."""
    _current.set(request_id)
    request_ids.set(_ids(request_id))


def _malformed(chosen: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{HEADER}: {chosen[:80]!r} is not an id: 1 to {MAX_ID} visible ASCII characters without "
        "spaces",
        param=HEADER,
    )


def _ids(request_id: str) -> Iterator[str]:
    """The ids of the generations of a request; the first is that of the request itself.

    The others have a character that no client can choose.
    """
    yield request_id
    for i in itertools.count(1):
        yield f"{request_id} {i}"
