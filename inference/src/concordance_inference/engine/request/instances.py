"""Creates the instances of a request's mods."""

from concordance_sdk.host.instance import InProcessMod
from concordance_shared import ModTimeoutError

from concordance_inference.engine.config import ModelTraits
from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.time_limit import TimeLimitError, run_within

#: Time limit for creating one mod instance, in seconds.
READY_S = 10.0


def make_instances(request: GenerationRequest, traits: ModelTraits) -> tuple[InProcessMod, ...]:
    """Create an instance of each mod, on the calling thread.

    Raises:
        ModError: A mod raised.
        RequestError: A mod rejected the request.
    """
    return tuple(_instance(call, request, traits) for call in request.mods)


def make_instances_within(
    seconds: float, request: GenerationRequest, traits: ModelTraits
) -> tuple[InProcessMod, ...]:
    """Create an instance of each mod, on a thread with a time limit.

    Args:
        seconds: Time limit per mod.
        request: The request.
        traits: The model's.

    Raises:
        ModError: A mod raised, or was not ready in time.
        RequestError: A mod rejected the request.
    """
    return tuple(_instance_within(seconds, call, request, traits) for call in request.mods)


def _instance_within(
    seconds: float, call: ModCall, request: GenerationRequest, traits: ModelTraits
) -> InProcessMod:
    try:
        return run_within(seconds, lambda: _instance(call, request, traits))
    except TimeLimitError as exc:
        raise ModTimeoutError(
            f"mod {call.name!r} was not ready in time: {exc}", mod=call.name
        ) from exc


def _instance(call: ModCall, request: GenerationRequest, traits: ModelTraits) -> InProcessMod:
    return InProcessMod(
        call.definition,
        call.parameters,
        tokenizer=traits.tokenizer,
        conversation=request.conversation,
        name=call.name,
    )
