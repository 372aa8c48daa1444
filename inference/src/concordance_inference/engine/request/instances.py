"""Creates the instances of a request's mods."""

from concordance_sdk.host.instance import InProcessMod, RequestMod
from concordance_sdk.request_context import RequestContext
from concordance_shared import ModTimeoutError

from concordance_inference.engine.config import ModelTraits
from concordance_inference.generation import GenerationRequest, ModCall
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
    return tuple(_instance(call, shared, traits) for call in request.mods)


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
    return tuple(instance_within(seconds, call, shared, traits) for call in request.mods)


def _context_of(request: GenerationRequest) -> RequestContext:
    return RequestContext(request.conversation, request_id=request.request_id)


def instance_within(
    seconds: float, call: ModCall, shared: RequestContext, traits: ModelTraits
) -> RequestMod:
    """Create an instance of a mod, on a thread with a time limit.

    Raises:
        ModError: The mod raised, or was not ready in time.
        RequestError: The mod rejected the request.
    """
    try:
        return run_within(seconds, lambda: _instance(call, shared, traits))
    except TimeLimitError as exc:
        raise ModTimeoutError(
            f"mod {call.name!r} was not ready in time: {exc}", mod=call.name
        ) from exc


def _instance(call: ModCall, shared: RequestContext, traits: ModelTraits) -> RequestMod:
    return InProcessMod(
        call.definition,
        call.parameters,
        tokenizer=traits.tokenizer,
        request=shared,
        name=call.name,
    )
