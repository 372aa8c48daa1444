"""`/healthz`: must the process be replaced?  `/readyz` and `/health`: does it accept requests?"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.caller import current_caller
from concordance_inference.generation import EngineHealth
from concordance_inference.server.context import ServerContext, context_of

#: The states that the process does not leave by itself.
_DEAD = frozenset({"stuck", "stopped"})

#: States of engines; that of the server is the last of those that it has.
_ORDER: Sequence[str] = ("ok", "loading", "draining", "restarting", "stuck", "stopped")


async def healthz(request: Request) -> Response:
    """Return 503 if the process does not recover by itself: an engine is stuck or stopped."""
    body = _described(context_of(request))
    return _response(body, status_code=503 if body["status"] in _DEAD else 200)


async def readyz(request: Request) -> Response:
    """Return 503 unless requests are accepted, as while an engine restarts or the server ends."""
    body = _described(context_of(request))
    return _response(body, status_code=200 if body["status"] == "ok" else 503)


def _described(context: ServerContext) -> dict[str, Any]:
    """The state of the server: the worst of its engines'. Callers without a key get no more."""
    found = [served.engine.health for served in context.models.loaded]
    if context.draining.is_set():
        found.append(EngineHealth(status="draining"))
    elif not context.startup.is_over:
        found.append(EngineHealth(status="loading"))
    health = max(found, key=lambda health: _ORDER.index(health.status), default=EngineHealth())
    caller = current_caller()
    body: dict[str, Any] = {"status": health.status}
    if not caller.scopes:  # without a key
        return body
    body["model"] = next(iter(context.models.names))
    if "admin" not in caller.scopes:  # it would name the request of another caller
        return body
    body["sandbox"] = _sandbox(context)
    if call := health.call:
        body |= {"mod": call.mod, "event": call.event, "step": call.step}
        body |= {"request_id": call.request_id, "seconds": round(call.seconds, 1)}
    elif step := health.step:
        body |= {"doing": step.doing, "seconds": round(step.seconds, 1)}
    elif health.status == "loading":
        body["doing"] = context.startup.doing
    if health.retry_after_s:
        body["retry_after"] = round(health.retry_after_s, 1)
    return body


def _sandbox(context: ServerContext) -> dict[str, Any]:
    """Return if uploaded mods can run. The server is ready without: other mods do not need it."""
    if (sandbox := context.mods.sandbox) is None:
        return {"status": "off"}
    status = sandbox.status
    state = {"status": "ok" if status.is_available else "unavailable"}
    if status.reason:
        state["reason"] = status.reason
    return {**state, "leased": status.num_leased, "warm": status.num_warm}


def _response(body: dict[str, Any], *, status_code: int) -> Response:
    headers = {"Retry-After": "1"} if status_code == 503 else None
    return Response(
        msgspec.json.encode(body),
        status_code=status_code,
        media_type="application/json",
        headers=headers,
    )
