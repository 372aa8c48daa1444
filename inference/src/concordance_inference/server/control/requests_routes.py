"""`/v1/requests`: lists and cancels the requests that run or wait."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.control import RequestStatus
from concordance_inference.generation import EngineClient
from concordance_inference.server.context import context_of
from concordance_inference.server.control.running_requests import RunningRequest


async def list_requests(request: Request) -> Response:
    """The requests that run, wait or are paused, oldest first."""
    running = context_of(request).running.all()
    statuses = await _statuses(running)
    data = [_described(each, statuses) for each in running]
    return _json({"object": "list", "data": data})


async def get_request(request: Request) -> Response:
    """One request that runs, waits or is paused."""
    running = context_of(request).running.named(request.path_params["id"])
    return _json(_described(running, await _statuses([running])))


async def cancel_request(request: Request) -> Response:
    """Cancel a request; its client gets an error with the code `request_cancelled`."""
    running = context_of(request).running.named(request.path_params["id"])
    running.cancel()
    return _json({"id": running.id, "object": "request", "cancelled": True})


async def _statuses(running: list[RunningRequest]) -> Mapping[str, RequestStatus]:
    """How far the generations of requests are, by id."""
    engines = {id(each.engine): each.engine for each in running if each.engine is not None}
    return await statuses_of(engines.values())


async def statuses_of(engines: Iterable[EngineClient]) -> Mapping[str, RequestStatus]:
    """Return how far the requests of engines are, by id."""
    found: dict[str, RequestStatus] = {}
    for engine in engines:
        found |= await engine.control.statuses()
    return found


def _described(running: RunningRequest, statuses: Mapping[str, RequestStatus]) -> dict[str, Any]:
    choices = [
        _choice(i, statuses.get(generation.request_id))
        for i, generation in enumerate(running.generations)
    ]
    engine = running.engine
    return {
        "id": running.id,
        "object": "request",
        "created": int(running.created),
        "age_s": round(time.time() - running.created, 3),
        "path": running.path,
        "model": engine.model.id if engine is not None else None,
        "state": choices[0]["state"] if choices else "reading",
        "choices": choices,
    }


def _choice(index: int, status: RequestStatus | None) -> dict[str, Any]:
    if status is None:
        return {"index": index, "state": "ending"}
    return {
        "index": index,
        "state": status.state,
        "prompt_tokens": status.prompt_tokens,
        "completion_tokens": status.completion_tokens,
        "mods": status.mods,
    }


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
