"""A route that also says what its requests and responses are, for `/openapi.json`."""

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from concordance_inference import caller as callers
from concordance_inference.server.access.authentication import check_scope

_SLASH = re.compile("%2f", re.IGNORECASE)

#: Replaces a percent-encoded slash while a path is matched; Unicode assigns it to no character.
_PLACE = "\ufdd0"

Handler = Callable[[Request], Awaitable[Response]]


class Endpoint(Route):
    """One method of one path. The handler's docstring is its description.

    Attributes:
        method: The HTTP method.
        body: The type that the body is validated with, or several of which `type` selects one;
            `None` for a request without a body.
        streams: The response may be a stream of server-sent events.
        status: The status of a response that is not an error.
        media_type: The media type of a response that is not a stream.
        query: Query parameters and their descriptions.
        scope: What a caller must be allowed to do; `None` if nothing. See `needs`.
    """

    def __init__(
        self,
        path: str,
        handler: Handler,
        *,
        method: str = "GET",
        body: type[Any] | tuple[type[Any], ...] | None = None,
        streams: bool = False,
        status: int = 200,
        media_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> None:
        """Route a method of a path to a handler; the other arguments are attributes."""
        super().__init__(path, handler, methods=[method])
        self.method = method
        self.body = body
        self.streams = streams
        self.status = status
        self.media_type = media_type
        self.query = query or {}
        self.scope: callers.Scope | None = "infer"

    def needs(self, scope: callers.Scope | None) -> "Endpoint":
        """Set what a caller must be allowed to do, in place of `infer`; return the endpoint."""
        self.scope = scope
        return self

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, unless its caller may not do this.

        Raises:
            RequestError: It may not.
        """
        if self.scope is not None:
            check_scope(scope, self.scope)
        await super().handle(scope, receive, send)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request, and decode its path parameters.

        A percent-encoded slash is part of a parameter: servers decode the path before it is
        matched, and a client may choose an id that has slashes.
        """
        raw = scope.get("raw_path") or b""
        path, num_slashes = _SLASH.subn(_PLACE, raw.decode(errors="replace"))
        if not num_slashes:
            return super().matches(scope)
        match, child = super().matches({**scope, "path": unquote(path)})
        params = child.get("path_params", {})
        decoded = {name: value.replace(_PLACE, "/") for name, value in params.items()}
        return match, {**child, "path_params": decoded} if child else child

    @property
    def bodies(self) -> tuple[type[Any], ...]:
        """The types that the body may have."""
        if self.body is None:
            return ()
        return self.body if isinstance(self.body, tuple) else (self.body,)
