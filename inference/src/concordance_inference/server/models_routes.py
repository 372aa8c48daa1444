"""`/v1/models`: the models of the server, alone and with each mod that needs no parameters."""

import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.model_name import unknown_model
from concordance_inference.server.served_models import ModelCard
from concordance_inference.server.transport.body import decode_body, read_raw
from concordance_inference.server.transport.disconnect import unless_disconnected

#: The time of models that have not been loaded yet.
_STARTED = int(time.time())

#: The longest body that names a model, in bytes.
_MAX_BODY = 512 * 1024


class ModelName(Struct, kw_only=True):
    """The body of `POST /v1/models/load` and `/v1/models/unload`."""

    model: Annotated[str, Meta(max_length=2048)]


async def list_models(request: Request) -> Response:
    """List every model string that needs no further parameters, the plain ones first."""
    context = context_of(request)
    models = await context.workers.look_up(lambda: _all(context))
    return _json({"object": "list", "data": list(models.values())})


async def get_model(request: Request) -> Response:
    """Describe one model string."""
    context = context_of(request)
    name: str = request.path_params["name"]
    models = await context.workers.look_up(lambda: _all(context))
    if name not in models:
        raise unknown_model(name, context.models.names)
    return _json(models[name])


async def load_model(request: Request) -> Response:
    """Load a model, unless it is loaded, and describe it."""
    context = context_of(request)
    name = await _named(request)
    await unless_disconnected(request, context.models.load(name))
    return _json(_one(name, context))


async def unload_model(request: Request) -> Response:
    """Free the memory of a model that no request uses, and describe it.

    A request that names it loads it again.
    """
    context = context_of(request)
    name = await _named(request)
    await context.models.unload(name)
    return _json(_one(name, context))


async def _named(request: Request) -> str:
    raw = await read_raw(request, max_bytes=_MAX_BODY)
    return decode_body(raw, ModelName).model


def _one(name: str, context: ServerContext) -> dict[str, Any]:
    cards = {name: card for card in context.models.cards() for name in (card.name, *card.aliases)}
    return _described(name, cards[name])


def _all(context: ServerContext) -> dict[str, dict[str, Any]]:
    """Describe every model string that needs no further parameters, the plain ones first."""
    context.models.look_again()
    cards = context.models.cards()
    names = {card.name: card for card in cards}
    names |= {alias: card for card in cards for alias in card.aliases}
    mods = [entry.name for entry in context.mods.entries() if not entry.needs_parameters]
    with_mods = {f"{card.name}/{mod}": card for card in cards for mod in mods}
    return {name: _described(name, card) for name, card in {**names, **with_mods}.items()}


def _described(name: str, card: ModelCard) -> dict[str, Any]:
    info = card.info
    return {
        "id": name,
        "object": "model",
        "created": info.created if info else _STARTED,
        "owned_by": "concordance",
        "root": card.name,
        "parent": card.parent,
        "status": card.status,
        "max_model_len": info and info.context_length,
        "sampling_defaults": info and msgspec.to_builtins(info.sampling),
        "aliases": card.aliases,
        "adapters": card.adapters,
        "memory_bytes": card.memory_bytes,
        "num_requests": card.num_requests,
    }


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
