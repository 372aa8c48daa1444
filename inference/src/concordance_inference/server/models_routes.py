"""`/v1/models`: the model that is served, alone and with each mod that needs no parameters."""

import msgspec
from concordance_shared import UnknownModelError
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import ModelInfo
from concordance_inference.mods.catalog import ModEntry
from concordance_inference.server.context import ServerContext, context_of


async def list_models(request: Request) -> Response:
    """List every model string that needs no further parameters, the plain one first."""
    context = context_of(request)
    names = await context.workers.look_up(lambda: _names(context))
    data = [_described(name, model) for name, model in names.items()]
    return _json({"object": "list", "data": data})


async def get_model(request: Request) -> Response:
    """Describe one model string."""
    context = context_of(request)
    name: str = request.path_params["name"]
    names = await context.workers.look_up(lambda: _names(context))
    if name not in names:
        raise UnknownModelError(
            f"there is no model {name!r:.120}; GET /v1/models lists all",
            param="model",
        )
    return _json(_described(name, names[name]))


def _names(context: ServerContext) -> dict[str, ModelInfo]:
    """Every model string that needs no further parameters, the plain ones first."""
    models = {served.info.id: served.info for served in context.models.loaded}
    usable = [entry.name for entry in context.mods.entries() if not _needs_parameters(entry)]
    with_mods = {f"{name}/{mod}": model for name, model in models.items() for mod in usable}
    return {**models, **with_mods}


def _needs_parameters(entry: ModEntry) -> bool:
    struct = entry.definition.parameters
    return struct is not None and any(f.required for f in msgspec.structs.fields(struct))


def _described(name: str, model: ModelInfo) -> dict[str, object]:
    return {
        "id": name,
        "object": "model",
        "created": model.created,
        "owned_by": "concordance",
        "max_model_len": model.context_length,
        "sampling_defaults": msgspec.to_builtins(model.sampling),
    }


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
