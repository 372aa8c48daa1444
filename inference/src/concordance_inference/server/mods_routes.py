"""`/v1/mods`: upload, list and delete mods.

All of it runs on worker threads: the operator's files are read again when they have changed, and
whatever they do when they are loaded would hold up every stream.
"""

from collections.abc import Callable
from functools import partial

import msgspec
from concordance_sdk import ModPayload
from concordance_shared import ForbiddenError
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.mods.catalog import ModCatalog, ModEntry
from concordance_inference.server.body import decode_body, read_raw
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.work import workers_of

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
    """Load an upload, in place of an earlier one of its name."""
    context = context_of(request)
    _check_allowed(context)
    raw = await read_raw(request, max_bytes=MAX_BODY)
    entry = await workers_of(request).load(partial(_uploaded, context.mods, raw))
    return Response(bytes(entry.description), status_code=201, media_type="application/json")


def _uploaded(mods: ModCatalog, raw: bytes) -> ModEntry:
    return mods.upload(decode_body(raw, ModPayload))


async def delete_mod(request: Request) -> Response:
    """Remove an upload; requests that run with it go on."""
    context = context_of(request)
    _check_allowed(context)
    return await _looked_up(request, partial(_deleted, context.mods, request.path_params["name"]))


def _deleted(mods: ModCatalog, name: str) -> dict[str, object]:
    mods.delete(name)
    return {"id": name, "object": "mod", "deleted": True}


def _check_allowed(context: ServerContext) -> None:
    if not context.allow_uploads:
        raise ForbiddenError(
            "mods are uploaded only while the server listens on a loopback address; put the mod "
            "into a file and start the server with --mods FILE"
        )


async def _looked_up(request: Request, look_up: Callable[[], object]) -> Response:
    data = await workers_of(request).look_up(lambda: msgspec.json.encode(look_up()))
    return Response(data, media_type="application/json")
