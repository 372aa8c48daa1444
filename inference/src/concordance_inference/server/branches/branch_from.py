"""The field `branch_from`: requests that branch off a completion, for every API alike."""

from collections.abc import Iterable
from typing import Any

from concordance_shared import InvalidRequestError
from msgspec.structs import replace

from concordance_inference.branching.errors import unknown_parent
from concordance_inference.caller import is_own
from concordance_inference.generation import GenerationRequest
from concordance_inference.resume.ended import (
    UnknownCompletionError,
    another_model,
    request_ids_of,
)
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.generation_fields import (
    GenerationFields,
    refuse_retractions,
)
from concordance_inference.server.resuming import changes_of, refuse_fixed, resumed_generation
from concordance_inference.server.served_models import ServedModel


def begins_elsewhere(body: GenerationFields) -> bool:
    """True if a request has no prompt of its own: it continues or branches off a completion."""
    return body.resume_from is not None or body.branch_from is not None


def generation_from(
    body: GenerationFields,
    served: ServedModel,
    context: ServerContext,
    *,
    stop: Iterable[str] | None = None,
    **options: Any,
) -> GenerationRequest:
    """Return the request that continues `body.resume_from`, or branches off `body.branch_from`.

    Args:
        body: The body.
        served: The model that it names.
        context: The server's.
        stop: Stop strings, if the API has another field for them.
        options: The fields that each API names in its own way, such as `max_tokens`.

    Raises:
        ConcordanceError: There is no such completion, it cannot be continued, or a field is wrong.
    """
    if body.branch_from is None:
        return resumed_generation(body, served, context, stop=stop, **options)
    if body.resume_from is not None:
        raise InvalidRequestError(
            "branch_from: resume_from is given too; leave one of them out", param="branch_from"
        )
    return branched_generation(body, served, context, stop=stop, **options)


def branched_generation(
    body: GenerationFields,
    served: ServedModel,
    context: ServerContext,
    *,
    stop: Iterable[str] | None = None,
    **options: Any,
) -> GenerationRequest:
    """Return the request for a completion that branches off `body.branch_from`.

    The arguments are those of `generation_from`.

    Raises:
        ConcordanceError: There is no such completion, the branch is out of range, or a field is
            wrong.
    """
    point = body.branch_from
    assert point is not None, "a branch"
    refuse_fixed(body, "branch_from")
    _refuse_several(body)
    changes = changes_of(body, served, context, stop=stop, **options)
    try:
        request = served.engine.branch(point, changes)
    except UnknownCompletionError:
        _refuse_another_model(point.id, served, context)
        raise
    if body.cache_salt is not None and body.cache_salt != request.cache_salt:
        raise unknown_parent(point.id, " for this cache_salt")
    if request.offer is not None:
        refuse_retractions(body, "branch_from")
    return replace(request, stream=bool(changes.get("stream", request.stream)))


def _refuse_several(body: GenerationFields) -> None:
    for name in ("n", "best_of"):
        if getattr(body, name, None) not in (None, 1):
            raise InvalidRequestError(
                f"{name}: a request with branch_from has one completion; send one request for each",
                param=name,
            )


def _refuse_another_model(completion_id: str, served: ServedModel, context: ServerContext) -> None:
    """Refuse to branch off a completion that another model generates at present."""
    for request_id in request_ids_of(completion_id):
        running = context.running.find(request_id.partition(" ")[0])
        if running is None or running.engine is None:
            continue
        if not all(is_own(generation.owner) for generation in running.generations):
            continue
        if (model := running.engine.model.id) != served.info.id:
            raise another_model("branch_from.id", completion_id, model, served.info.id)
