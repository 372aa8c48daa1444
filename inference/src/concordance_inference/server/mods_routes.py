"""`/v1/mods`: upload, list and delete mods.

All of it runs on worker threads: the operator's changed files are loaded again, and the code that
they run at import would stall every stream.
"""

from collections.abc import Callable
from functools import partial

import msgspec
from concordance_sdk import ModPayload
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.mods.catalog import ModCatalog, ModEntry
from concordance_inference.server.body import decode_body, read_raw
from concordance_inference.server.context import context_of

#: The largest upload, in bytes.
MAX_BODY = 1024 * 1024


async def list_mods(request: Request) -> Response:
    """Every mod that requests can name."""
    return await _looked_up(request, partial(_listed, context_of(request).mods))


def _listed(mods: ModCatalog) -> dict[str, object]:
    return {"object": "list", "data": [entry.description for entry in mods.entries()]}


async def get_mod(request: Request) -> Response:
    """One mod."""
    mods, name = context_of(request).mods, request.path_params["name"]
    return await _looked_up(request, lambda: mods.get(name, param="name").description)


async def upload_mod(request: Request) -> Response:
    """Load an upload; it replaces an earlier upload of its name."""
    context = context_of(request)
    raw = await read_raw(request, max_bytes=MAX_BODY)
    entry = await context.workers.load(partial(_uploaded, context.mods, raw))
    return Response(bytes(entry.description), status_code=201, media_type="application/json")


def _uploaded(mods: ModCatalog, raw: bytes) -> ModEntry:
    return mods.upload(decode_body(raw, ModPayload))


async def delete_mod(request: Request) -> Response:
    """Remove an upload; requests that run with it are not affected."""
    mods, name = context_of(request).mods, request.path_params["name"]
    return await _looked_up(request, partial(_deleted, mods, name))


def _deleted(mods: ModCatalog, name: str) -> dict[str, object]:
    mods.delete(name)
    return {"id": name, "object": "mod", "deleted": True}


async def _looked_up(request: Request, look_up: Callable[[], object]) -> Response:
    data = await context_of(request).workers.look_up(lambda: msgspec.json.encode(look_up()))
    return Response(data, media_type="application/json")
