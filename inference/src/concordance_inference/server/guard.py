"""Refuses requests by their headers: of a browser's foreign pages, and bodies that are not JSON.

A page can send requests to 127.0.0.1, and by rebinding its own name to that address it can read
the answers. It cannot choose the headers `Host` and `Origin`, and cannot send JSON to another
origin without asking first, which nobody here answers.
"""

from urllib.parse import urlsplit

from concordance_shared import ConcordanceError, ForbiddenError, InvalidRequestError, MediaTypeError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference.server.errors import error_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})


class RequestGuard:
    """Refuses requests by their headers, before their bodies are read."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] = LOOPBACK_NAMES) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: The names by which it may be addressed.
        """
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            error = self._fault(scope)
            if error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> ConcordanceError | None:
        headers = Headers(scope=scope)
        return (
            self._foreign(headers)
            or (_unread(headers) if scope["method"] == "POST" else None)
            or _bad_path(scope)
        )

    def _foreign(self, headers: Headers) -> ConcordanceError | None:
        """A request that a foreign page could have made."""
        given = headers.get("host", "")
        if _hostname(f"//{given}") not in self._hosts:
            return ForbiddenError(f"this server is not addressed as {given[:80]!r}")
        origin = headers.get("origin")
        if origin and _hostname(origin) not in self._hosts:
            return ForbiddenError(f"pages of {origin[:80]!r} may not use this server")
        return None


def _unread(headers: Headers) -> ConcordanceError | None:
    """A body that is not plain JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return MediaTypeError(
            f"send JSON with `Content-Type: application/json`, not {media_type[:60]!r}"
        )
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        return MediaTypeError(
            f"send the body as it is: `Content-Encoding: {coding[:60]}` is not supported"
        )
    return None


def _bad_path(scope: Scope) -> ConcordanceError | None:
    """A path that is no text, which no route and no message could show."""
    try:
        scope["path"].encode()
    except UnicodeEncodeError:
        return InvalidRequestError("the path of the URL is not UTF-8")
    return None


def _hostname(url: str) -> str | None:
    """The host of a URL; `None` for what is no URL."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
