"""`/v1/mods`: upload, list and delete mods."""

from typing import Any

import msgspec
from anyio import to_thread
from concordance_sdk import ModPayload
from concordance_shared import ConcordanceError, ForbiddenError, ModLoadError
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.mods.catalog import ModEntry
from concordance_inference.server.body import read_body
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.time_limit import TimeLimitError, run_within

#: The largest upload, in bytes.
MAX_BODY = 1024 * 1024

#: How long the code of an upload may take to load, in seconds.
LOAD_S = 10.0


async def list_mods(request: Request) -> Response:
    """Every mod that requests can name."""
    data = [_described(entry) for entry in context_of(request).mods.entries()]
    return _json({"object": "list", "data": data})


async def get_mod(request: Request) -> Response:
    """One mod."""
    return _json(
        _described(context_of(request).mods.get(request.path_params["name"], param="name"))
    )


async def upload_mod(request: Request) -> Response:
    """Load an upload, in place of an earlier one of its name."""
    context = context_of(request)
    _check_allowed(context)
    payload = await read_body(request, ModPayload, max_bytes=MAX_BODY)
    entry = await to_thread.run_sync(lambda: _uploaded(context, payload))
    return _json(_described(entry), status_code=201)


def _uploaded(context: ServerContext, payload: ModPayload) -> ModEntry:
    """Load an upload, whose code may raise anything or never end.

    Raises:
        ConcordanceError: It cannot be loaded.
    """
    try:
        return run_within(LOAD_S, lambda: context.mods.upload(payload))
    except ConcordanceError:
        raise
    except TimeLimitError as exc:
        raise ModLoadError(f"mod {payload.name!r:.80} does not come to an end: {exc}") from exc
    except BaseException as exc:  # on a worker thread: nobody means the server itself
        raise ModLoadError(
            f"mod {payload.name!r:.80} cannot be loaded: {type(exc).__name__}: {exc}"
        ) from exc


async def delete_mod(request: Request) -> Response:
    """Remove an upload; requests that run with it go on."""
    context = context_of(request)
    _check_allowed(context)
    name: str = request.path_params["name"]
    context.mods.delete(name)
    return _json({"id": name, "object": "mod", "deleted": True})


def _check_allowed(context: ServerContext) -> None:
    if not context.allow_uploads:
        raise ForbiddenError(
            "mods are uploaded only while the server listens on a loopback address; put the mod "
            "into a file and start the server with --mods FILE"
        )


def _described(entry: ModEntry) -> dict[str, Any]:
    definition = entry.definition
    parameters = definition.parameters
    return {
        "id": entry.name,
        "object": "mod",
        "created": entry.created,
        "source": entry.source,
        "version": entry.version,
        "description": definition.doc.partition("\n")[0],
        "events": [event.__name__ for event in definition.handlers],
        "max_backtrack": definition.max_backtrack,
        "parameters": None if parameters is None else msgspec.json.schema(parameters),
    }


def _json(value: object, *, status_code: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value), status_code=status_code, media_type="application/json"
    )
