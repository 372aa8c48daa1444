"""Keeps web pages in the operator's browser away from a server on the loopback address.

A page can send requests to 127.0.0.1, and by rebinding its own name to that address it can read
the answers. It cannot choose the headers `Host` and `Origin`, and cannot send JSON to another
origin without asking first, which nobody here answers.
"""

from urllib.parse import urlsplit

from concordance_shared import ConcordanceError, ForbiddenError, MediaTypeError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference.server.errors import error_response

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "testserver"})


class BrowserGuard:
    """Refuses requests that a foreign page could have made."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] = _LOOPBACK_NAMES) -> None:
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
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        if host not in self._hosts:
            return ForbiddenError(f"this server is not addressed as {host!r:.80}")
        origin = headers.get("origin")
        if origin and urlsplit(origin).hostname not in self._hosts:
            return ForbiddenError(f"pages of {origin!r:.80} may not use this server")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and media_type != "application/json":
            return MediaTypeError(
                f"send JSON with `Content-Type: application/json`, not {media_type!r:.60}"
            )
        return None
