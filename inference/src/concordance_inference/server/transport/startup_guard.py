"""Refuses requests while the first model is loaded."""

from starlette.types import ASGIApp, Receive, Scope, Send

from concordance_inference.server.startup import ModelLoadingError, Startup
from concordance_inference.server.transport.errors import error_response

#: The routes that respond while the first model is loaded.
_OPEN = frozenset({"/healthz", "/readyz", "/health", "/metrics"})


class RefuseUntilStarted:
    """Refuses requests with 503 while the first model is loaded."""

    def __init__(self, app: ASGIApp, *, startup: Startup) -> None:
        """Wrap an application."""
        self._app = app
        self._startup = startup

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a request, or refuse it."""
        is_refused = scope["type"] == "http" and scope["path"] not in _OPEN
        if self._startup.is_over or not is_refused:
            await self._app(scope, receive, send)
            return
        error = ModelLoadingError(
            f"the model is loading ({self._startup.doing}); GET /readyz responds with 200 when the "
            "server takes requests"
        )
        await error_response(error)(scope, receive, send)
