"""A completion that was resumed, as if it had not been cut."""

from msgspec.structs import replace

from concordance_inference.generation import Completed, GenerationRequest


def uncut(request: GenerationRequest, completed: Completed) -> tuple[GenerationRequest, Completed]:
    """Return a request and its completion as if no earlier request had generated a part of it."""
    if (beginning := request.beginning) is None:
        return request, completed
    whole = replace(
        completed,
        text=beginning.text + completed.text,
        marks=(*beginning.marks, *(mark.moved(len(beginning.text)) for mark in completed.marks)),
        token_ids=(*beginning.token_ids, *completed.token_ids),
        forced_by=(*beginning.forced_by, *completed.forced_by),
    )
    return replace(request, beginning=None), whole
