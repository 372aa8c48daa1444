"""`POST /v1/chat/completions/{id}/actions`: acts on a running request, as a mod would."""

from functools import partial

import msgspec
from concordance_shared import ConflictError, InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.control import (
    AttachMod,
    Command,
    ControlClient,
    Outcome,
    RequestChangedError,
    event_of_outcome,
)
from concordance_inference.generation import GenerationRequest
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.control.action_body import (
    AddModBody,
    AnyActionBody,
    EndReasoningBody,
    ModBody,
    ReasonBody,
    RemoveModBody,
    ReplaceModBody,
    decode_action,
)
from concordance_inference.server.control.reasoning_actions import reasoning_command
from concordance_inference.server.control.running_requests import RunningRequest
from concordance_inference.server.openai.generation_fields import ModChoice
from concordance_inference.server.transport.body import read_raw

#: The largest body, in bytes.
MAX_BODY = 512 * 1024

#: Attempts to act on a completion that other edits change meanwhile.
_ATTEMPTS = 3

#: The mod that enforces the format of a request, whatever its name in the request is.
_FORMAT = "output_format"


async def act(request: Request) -> Response:
    """Apply an action to a running request, and say what it did.

    The response is sent once the action is applied.
    """
    context = context_of(request)
    raw = await read_raw(request, max_bytes=MAX_BODY)
    body = await context.workers.command(lambda: decode_action(raw))
    running = context.running.named(request.path_params["id"])
    generation = _generation(running, body.index)
    outcome = await _applied(body, running, generation, context)
    fields = event_of_outcome(str(type(body).__struct_config__.tag), outcome)
    fields |= {"id": running.id, "object": "action", "index": body.index or 0}
    if outcome.token_ids:
        fields["token_ids"] = outcome.token_ids
        fields["text"] = await context.workers.command(
            lambda: running.control.decode(outcome.token_ids)
        )
    if outcome.finish_reason:
        fields["finish_reason"] = outcome.finish_reason
    return Response(msgspec.json.encode(fields), media_type="application/json")


def _generation(running: RunningRequest, index: int | None) -> GenerationRequest:
    """The generation that an action is for.

    Raises:
        ConflictError: The request is still being read.
        InvalidRequestError: It has several, or not this one.
    """
    count = len(running.generations)
    if not count:
        raise ConflictError(f"the request {running.id!r} is still being read; try again")
    if index is None and count > 1:
        raise InvalidRequestError(
            f"index: the request has {count} choices; say which one, 0 to {count - 1}",
            param="index",
        )
    if index is not None and index >= count:
        raise InvalidRequestError(
            f"index: the request has {count} choices, 0 to {count - 1}", param="index"
        )
    return running.generations[index or 0]


async def _applied(
    body: AnyActionBody,
    running: RunningRequest,
    generation: GenerationRequest,
    context: ServerContext,
) -> Outcome:
    """Apply an action; one on the reasoning again, if the completion was edited meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        command = await _command(body, running, generation, context)
        try:
            return await running.control.send(generation.request_id, command)
        except RequestChangedError:
            continue
    command = await _command(body, running, generation, context)
    return await running.control.send(generation.request_id, command)


async def _command(
    body: AnyActionBody,
    running: RunningRequest,
    generation: GenerationRequest,
    context: ServerContext,
) -> Command:
    """Make the command of an action, on a background thread."""
    control = running.control
    if isinstance(body, AddModBody | ReplaceModBody):
        return await _attached(body, control, generation, context)
    if isinstance(body, ReasonBody | EndReasoningBody):
        view = await control.view(generation.request_id)
        make = partial(reasoning_command, body, view, generation.channels, control)
        return await context.workers.command(make)
    if isinstance(body, RemoveModBody):
        _check_removable(body.name, generation)
    return await context.workers.command(partial(body.command, control))


async def _attached(
    body: ModBody,
    control: ControlClient,
    generation: GenerationRequest,
    context: ServerContext,
) -> Command:
    replaces = body.name if isinstance(body, ReplaceModBody) else None
    if replaces is not None:
        _check_removable(replaces, generation)
    view = await control.view(generation.request_id)

    def attached() -> AttachMod:
        (call,) = context.mods.resolve([_named(body.mod)])
        instance = control.instance(call, view.context)
        return AttachMod(instance=instance, replaces=replaces, call=call)

    return await context.workers.prepare(attached)


def _named(mod: ModChoice | str) -> NamedMod:
    if isinstance(mod, str):
        return NamedMod(name=mod, where="mod")
    return mod.named("mod")


def _check_removable(name: str, generation: GenerationRequest) -> None:
    for call in generation.mods:
        if call.name == name and call.definition.name == _FORMAT:
            raise ConflictError(
                f"{name!r} enforces the format of the completion, and cannot be removed",
                param="name",
            )
