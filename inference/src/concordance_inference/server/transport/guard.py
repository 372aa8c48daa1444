"""Refuses requests by their headers: those of foreign web pages, and bodies that are not JSON.

A page can send requests to 127.0.0.1, and by DNS rebinding it can read the responses. It cannot
choose the headers `Host` and `Origin`, and it cannot send JSON to another origin without a CORS
preflight, which this server grants to the pages that its operator names only.
"""

import ipaddress
from urllib.parse import urlsplit

from concordance_shared import ConcordanceError, ForbiddenError, InvalidRequestError, MediaTypeError
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference.server.transport.errors import error_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Refuses requests by their headers, before their bodies are read."""

    def __init__(self, app: ASGIApp) -> None:
        """Guard an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
        if scope["type"] == "http":
            error = self._fault(scope)
            if error:
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _fault(self, scope: Scope) -> ConcordanceError | None:
        """The error of a request; `None` if it is forwarded."""
        raise NotImplementedError


class RequestGuard(Guard):
    """Refuses requests that a foreign web page could have sent."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str],
        origins: frozenset[str] = frozenset(),
        listens_on_all: bool = False,
    ) -> None:
        """Guard an application.

        Args:
            app: The application.
            hosts: The names that `Host` and `Origin` may have.
            origins: The origins of other pages that may use the server.
            listens_on_all: The server listens on all addresses of the machine, so that `Host` may
                be the address that a connection was made to. A page whose name was bound to it
                sends its name.
        """
        super().__init__(app)
        self._hosts = hosts
        self._origins = origins
        self._listens_on_all = listens_on_all

    def _fault(self, scope: Scope) -> ConcordanceError | None:
        return self._foreign(scope, Headers(scope=scope)) or _bad_path(scope)

    def _foreign(self, scope: Scope, headers: Headers) -> ConcordanceError | None:
        """The error of a request that a foreign page could have made."""
        given = headers.get("host", "")
        if not self._is_own(_hostname(f"//{given}"), scope):
            return ForbiddenError(
                f"Host: {given[:80]!r} is not an address of this server; use 127.0.0.1 or "
                "localhost, or let its operator name it in --allowed-hosts"
            )
        origin = headers.get("origin")
        if origin and not (origin in self._origins or self._is_own(_hostname(origin), scope)):
            return ForbiddenError(
                f"Origin: pages of {origin[:80]!r} may not use this server; send requests from a "
                "page of localhost, or without a browser, or let its operator name the origin in "
                "--cors-origins"
            )
        return None

    def _is_own(self, host: str | None, scope: Scope) -> bool:
        """True if a host is one of the server's."""
        if host is None or host in self._hosts:
            return host is not None
        server = (scope.get("server") or ("",))[0]
        return self._listens_on_all and host == server and _is_address(host)


class JsonBodies(Guard):
    """Refuses bodies that are not JSON: forms are what a page may send to any server."""

    def _fault(self, scope: Scope) -> ConcordanceError | None:
        return _not_json(Headers(scope=scope)) if scope["method"] == "POST" else None


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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
