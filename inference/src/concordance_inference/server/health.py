"""`GET /healthz`: whether the server can answer."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import context_of


async def healthz(request: Request) -> Response:
    """200 while requests are taken, 503 when the engine has stopped."""
    engine = context_of(request).engine
    status = "ok" if engine.is_running else "stopped"
    return Response(
        msgspec.json.encode({"status": status, "model": engine.model.id}),
        status_code=200 if engine.is_running else 503,
        media_type="application/json",
    )
