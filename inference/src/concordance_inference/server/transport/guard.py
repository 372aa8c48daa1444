"""Refuses requests by their headers: those of foreign web pages, and bodies that are not JSON.

A page can send requests to 127.0.0.1, and by DNS rebinding it can read the responses. It cannot
choose the headers `Host` and `Origin`, and it cannot send JSON to another origin without a CORS
preflight, which this server does not grant.
"""

from urllib.parse import urlsplit

from concordance_shared import ConcordanceError, ForbiddenError, InvalidRequestError, MediaTypeError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference.server.transport.errors import error_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class RequestGuard:
    """Refuses requests by their headers, before their bodies are read."""

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str]) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: The names that `Host` and `Origin` may have.
        """
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
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
            or (_not_json(headers) if scope["method"] == "POST" else None)
            or _bad_path(scope)
        )

    def _foreign(self, headers: Headers) -> ConcordanceError | None:
        """The error of a request that a foreign page could have made."""
        given = headers.get("host", "")
        if _hostname(f"//{given}") not in self._hosts:
            return ForbiddenError(
                f"Host: {given[:80]!r} is not an address of this server; use 127.0.0.1 or localhost"
            )
        origin = headers.get("origin")
        if origin and _hostname(origin) not in self._hosts:
            return ForbiddenError(
                f"Origin: pages of {origin[:80]!r} may not use this server; send requests from a "
                "page of localhost, or without a browser"
            )
        return None


def _not_json(headers: Headers) -> ConcordanceError | None:
    """The error of a body that is not plain JSON."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return MediaTypeError(
            f"send JSON with `Content-Type: application/json`, not {media_type[:60]!r}"
        )
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        return MediaTypeError(
            f"`Content-Encoding: {coding[:60]}` is not supported; send the body without encoding"
        )
    return None


def _bad_path(scope: Scope) -> ConcordanceError | None:
    """The error of a path that is not UTF-8, which no message could quote."""
    try:
        scope["path"].encode()
    except UnicodeEncodeError:
        return InvalidRequestError("the path of the URL is not UTF-8")
    return None


def _hostname(url: str) -> str | None:
    """The host of a URL; `None` if it is not a URL."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
