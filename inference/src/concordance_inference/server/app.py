"""The ASGI application: routes, guard and error handlers around a `ServerContext`."""

import msgspec
from concordance_sdk.host.call_in_progress import CallInProgress
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from concordance_inference.server.chat_completions import chat_completions
from concordance_inference.server.completions import completions
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.errors import handlers
from concordance_inference.server.guard import LOOPBACK_NAMES, RequestGuard
from concordance_inference.server.models_routes import get_model, list_models
from concordance_inference.server.mods_routes import delete_mod, get_mod, list_mods, upload_mod
from concordance_inference.server.request_id import RequestIds
from concordance_inference.server.tokenization_routes import detokenize, render, tokenize


async def healthz(request: Request) -> Response:
    """Return 200 while requests are handled, 503 if the engine has stopped or a mod stops it."""
    engine = context_of(request).models.loaded[0].engine
    call = engine.stuck_call
    status = "stuck" if call else "ok"
    if not engine.is_running:
        status = "stopped"
    body = {"status": status, "model": engine.model.id, **(_about(call) if call else {})}
    return Response(
        msgspec.json.encode(body),
        status_code=200 if status == "ok" else 503,
        media_type="application/json",
    )


def _about(call: CallInProgress) -> dict[str, object]:
    """Name a call of a mod's code that does not return."""
    return {
        "mod": call.mod,
        "event": call.event,
        "step": call.step,
        "request_id": call.request_id,
        "seconds": round(call.seconds, 1),
    }


ROUTES = (
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{name:path}", get_model, methods=["GET"]),
    Route("/v1/mods", list_mods, methods=["GET"]),
    Route("/v1/mods", upload_mod, methods=["POST"]),
    Route("/v1/mods/{name}", get_mod, methods=["GET"]),
    Route("/v1/mods/{name}", delete_mod, methods=["DELETE"]),
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/chat/completions/render", render, methods=["POST"]),
    *(Route(f"{root}/tokenize", tokenize, methods=["POST"]) for root in ("/v1", "")),
    *(Route(f"{root}/detokenize", detokenize, methods=["POST"]) for root in ("/v1", "")),
    *(Route(path, healthz, methods=["GET"]) for path in ("/healthz", "/readyz", "/health")),
)


def create_app(context: ServerContext) -> Starlette:
    """Make the application that serves models and mods."""
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(RequestIds),
            Middleware(RequestGuard, hosts=LOOPBACK_NAMES | context.hosts),
        ],
        exception_handlers={**handlers(), ClientDisconnect: _client_disconnected},
    )
    app.state.context = context
    return app


async def _client_disconnected(request: Request, exc: Exception) -> Response:
    """Return 499, the status that other servers log for a client that disconnected."""
    del request, exc
    return Response(status_code=499)
