"""`/v1/mods`: upload, list, play and delete mods.

All of it runs on background threads: the operator's changed files are loaded again, and the code
that they run at import would stall every stream.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from concordance_sdk import ModPayload
from concordance_shared import UnknownModError
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.caller import current_owner, may_see
from concordance_inference.mods.catalog import ModCatalog, NamedMod, call_of
from concordance_inference.mods.dry_run import DryRun, DryRunFailure, description_of_run, played_on
from concordance_inference.mods.entry import ModEntry
from concordance_inference.server.context import context_of
from concordance_inference.server.limits import limits_of
from concordance_inference.server.transport.body import decode_body, read_raw
from concordance_inference.server.transport.errors import error_body


class ShareMod(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /v1/mods/{name}/share`."""

    owner: Annotated[str, Meta(max_length=64)] | None = None
    shared: bool = True


async def list_mods(request: Request) -> Response:
    """Every mod that requests can name. An admin also gets those that others have uploaded."""
    return await _looked_up(request, partial(_listed, context_of(request).mods))


def _listed(mods: ModCatalog) -> dict[str, object]:
    entries = [*mods.entries(), *mods.of_others()]
    return {"object": "list", "data": [entry.description for entry in entries]}


async def get_mod(request: Request) -> Response:
    """One mod, or a version of it by `name@sha256:<digits>`."""
    mods, name = context_of(request).mods, request.path_params["name"]
    return await _looked_up(request, partial(_described, mods, name))


def _described(mods: ModCatalog, name: str) -> dict[str, Any]:
    return _with_versions(mods, mods.get(name, param="name"))


def _with_versions(mods: ModCatalog, entry: ModEntry) -> dict[str, Any]:
    fields = msgspec.json.decode(entry.description, type=dict[str, Any])
    return fields | {"versions": mods.versions(entry.name)}


async def upload_mod(request: Request) -> Response:
    """Load an upload; it replaces an earlier upload of its name.

    With `dry_run=true` the mod is not added, but played, on the fields of a dry run in the body.
    """
    context = context_of(request)
    context.upload_rate.count(current_owner(), most=context.limits.uploads_per_minute)
    raw = await read_raw(request, max_bytes=context.limits.mod_body_bytes)
    if request.query_params.get("dry_run") == "true":
        return await _played(request, lambda: context.mods.dry_run_entry(_payload(raw)), raw)
    made = await context.workers.load(partial(_uploaded, context.mods, raw))
    return Response(made, status_code=201, media_type="application/json")


def _uploaded(mods: ModCatalog, raw: bytes) -> bytes:
    return msgspec.json.encode(_with_versions(mods, mods.upload(_payload(raw))))


def _payload(raw: bytes) -> ModPayload:
    return decode_body(raw, ModPayload)


async def dry_run_mod(request: Request) -> Response:
    """Play a mod on a given text instead of a model, and return what it did.

    A mod that fails is no error of the request: the response has its error.
    """
    context, name = context_of(request), request.path_params["name"]
    raw = await read_raw(request, max_bytes=limits_of(request).mod_body_bytes)
    return await _played(request, lambda: context.mods.get(name, param="name"), raw)


async def _played(request: Request, load: Callable[[], ModEntry], raw: bytes) -> Response:
    sends_tracebacks = context_of(request).sends_tracebacks

    def played() -> bytes:
        run = decode_body(raw, DryRun)
        entry = load()
        named = NamedMod(name=entry.name, params=run.params or {}, where="")
        outcome = played_on(call_of(entry, named), run)
        fields = {"mod": entry.name, "hash": f"sha256:{entry.version}" if entry.version else None}
        fields |= description_of_run(outcome)
        if isinstance(outcome, DryRunFailure):
            fields |= error_body(outcome.error, sends_tracebacks=sends_tracebacks)
        return msgspec.json.encode(fields)

    data = await context_of(request).workers.load(played)
    return Response(data, media_type="application/json")


async def delete_mod(request: Request) -> Response:
    """Remove an upload; requests that run with it are not affected."""
    mods, name = context_of(request).mods, request.path_params["name"]
    owner = request.query_params.get("owner")
    if owner is not None and not may_see(owner):
        raise UnknownModError(f"{owner!r:.80} has uploaded no mod {name!r:.80}", param="owner")
    return await _looked_up(request, partial(_deleted, mods, name, owner))


def _deleted(mods: ModCatalog, name: str, owner: str | None) -> dict[str, object]:
    mods.delete(name, owner=owner)
    return {"id": name, "object": "mod", "deleted": True}


async def share_mod(request: Request) -> Response:
    """Let all callers use the present version of an upload, or its owner only."""
    mods, name = context_of(request).mods, request.path_params["name"]
    raw = await read_raw(request, max_bytes=limits_of(request).mod_body_bytes)

    def shared() -> msgspec.Raw:
        body = decode_body(raw, ShareMod)
        owner = current_owner() if body.owner is None else body.owner
        return mods.share(name, owner, is_shared=body.shared).description

    return await _looked_up(request, shared)


async def _looked_up(request: Request, look_up: Callable[[], object]) -> Response:
    data = await context_of(request).workers.look_up(lambda: msgspec.json.encode(look_up()))
    return Response(data, media_type="application/json")
