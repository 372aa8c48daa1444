"""The application: a function of what it serves."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from concordance_inference.server.chat_completions import chat_completions
from concordance_inference.server.context import ServerContext
from concordance_inference.server.errors import handlers
from concordance_inference.server.guard import LOOPBACK_NAMES, RequestGuard
from concordance_inference.server.health import healthz
from concordance_inference.server.models_routes import get_model, list_models
from concordance_inference.server.mods_routes import delete_mod, get_mod, list_mods, upload_mod
from concordance_inference.server.work import Workers

ROUTES = (
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{name:path}", get_model, methods=["GET"]),
    Route("/v1/mods", list_mods, methods=["GET"]),
    Route("/v1/mods", upload_mod, methods=["POST"]),
    Route("/v1/mods/{name}", get_mod, methods=["GET"]),
    Route("/v1/mods/{name}", delete_mod, methods=["DELETE"]),
    Route("/healthz", healthz, methods=["GET"]),
)


def create_app(context: ServerContext) -> Starlette:
    """The application that serves an engine, a chat format and some mods."""
    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(RequestGuard, hosts=LOOPBACK_NAMES | context.hosts)],
        exception_handlers={**handlers(), ClientDisconnect: _nobody_waits},
    )
    app.state.context = context
    app.state.workers = Workers()
    return app


async def _nobody_waits(request: Request, exc: Exception) -> Response:
    """The client has gone; 499 is what others log in this case."""
    del request, exc
    return Response(status_code=499)
