"""Creates the instances of a request's mods."""

from collections.abc import Callable, Iterable
from functools import partial

from concordance_sdk.channels import ChannelFormat
from concordance_sdk.host.instance import InProcessMod, RequestMod
from concordance_sdk.request_context import RequestContext
from concordance_shared import (
    EmittedError,
    ModError,
    ModTimeoutError,
    SandboxUnavailableError,
    SchemaError,
)

from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.request.optional_mods import FailedMod
from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.sandbox.channel_specs import channels_spec
from concordance_inference.sandbox.isolated_mod import isolated
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.time_limit import TimeLimitError, run_within

#: Time limit for creating one mod instance, in seconds.
READY_S = 10.0


def make_instances(request: GenerationRequest, traits: ModelTraits) -> tuple[RequestMod, ...]:
    """Create an instance of each mod, on the calling thread.

    Raises:
        ModError: A mod raised.
        RequestError: A mod rejected the request.
    """
    shared = _context_of(request)
    return _all_or_none(
        _unless_failed(call, shared, partial(_instance, call, shared, traits, request.channels))
        for call in request.mods
    )


def make_instances_within(
    seconds: float, request: GenerationRequest, traits: ModelTraits
) -> tuple[RequestMod, ...]:
    """Create an instance of each mod, on a thread with a time limit.

    Args:
        seconds: Time limit per mod.
        request: The request.
        traits: The model's.

    Raises:
        ModError: A mod raised, or was not ready in time.
        RequestError: A mod rejected the request.
    """
    shared = _context_of(request)
    make = partial(instance_within, seconds)
    return _all_or_none(
        _unless_failed(call, shared, partial(make, call, shared, traits, request.channels))
        for call in request.mods
    )


def _unless_failed(
    call: ModCall, shared: RequestContext, make: Callable[[], RequestMod]
) -> RequestMod:
    """Make an instance; a `FailedMod` if a mod that is not required has failed."""
    try:
        return make()
    except (ModError, SandboxUnavailableError) as exc:
        if call.required or isinstance(exc, EmittedError | SchemaError):
            raise
        return FailedMod(call.name, shared, exc)


def _all_or_none(instances: Iterable[RequestMod]) -> tuple[RequestMod, ...]:
    """Collect instances as they are made; if one cannot be made, close the others."""
    made: list[RequestMod] = []
    try:
        for instance in instances:
            made.append(instance)  # noqa: PERF402  # those before an error are closed
    except BaseException:
        for mod in made:
            mod.close()
        raise
    return tuple(made)


def close_instances(request: GenerationRequest) -> None:
    """End the workers of a request that gets no row."""
    for mod in request.instances or ():
        mod.close()


def _context_of(request: GenerationRequest) -> RequestContext:
    return RequestContext(request.conversation, request_id=request.request_id)


def instance_within(
    seconds: float,
    call: ModCall,
    shared: RequestContext,
    traits: ModelTraits,
    channels: ChannelFormat | None = None,
) -> RequestMod:
    """Create an instance of a mod, on a thread with a time limit.

    Args:
        seconds: The time limit. A mod in a worker has those of the sandbox.
        call: The mod.
        shared: What the request's mods share.
        traits: The model's.
        channels: How the model marks channels.

    Raises:
        ModError: The mod raised, or was not ready in time.
        RequestError: The mod rejected the request.
    """
    if isinstance(call.definition, SandboxedMod):
        return _isolated(call, call.definition, shared, traits, channels)
    try:
        return run_within(seconds, lambda: _instance(call, shared, traits))
    except TimeLimitError as exc:
        raise ModTimeoutError(
            f"mod {call.name!r} was not ready in time: {exc}", mod=call.name
        ) from exc


def _instance(
    call: ModCall,
    shared: RequestContext,
    traits: ModelTraits,
    channels: ChannelFormat | None = None,
) -> RequestMod:
    definition = call.definition
    if isinstance(definition, SandboxedMod):
        return _isolated(call, definition, shared, traits, channels)
    return InProcessMod(
        definition,
        call.parameters,
        tokenizer=traits.tokenizer,
        request=shared,
        name=call.name,
    )


def _isolated(
    call: ModCall,
    mod: SandboxedMod,
    shared: RequestContext,
    traits: ModelTraits,
    channels: ChannelFormat | None,
) -> RequestMod:
    request = LeaseRequest(
        source=mod.source,
        parameters=call.parameters,
        param=call.where,
        model=mod.sandbox.models.id_of(traits.tokenizer, width=traits.vocab_size),
        request_id=shared.request_id,
        owner=call.owner,
        conversation=shared.conversation,
        given=tuple(shared.given.token_ids) if shared.given else (),
        channels=channels_spec(channels),
    )
    return isolated(mod, request, shared)
