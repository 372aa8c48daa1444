"""A completion that was resumed, as if it had not been cut."""

from msgspec.structs import replace

from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.mark import Mark


def uncut(request: GenerationRequest, completed: Completed) -> tuple[GenerationRequest, Completed]:
    """Return a request and its completion as if no earlier request had generated a part of it."""
    if (beginning := request.beginning) is None:
        return request, completed
    whole = replace(
        completed,
        text=beginning.text + completed.text,
        marks=(*beginning.marks, *(_moved(mark, len(beginning.text)) for mark in completed.marks)),
        token_ids=(*beginning.token_ids, *completed.token_ids),
        forced_by=(*beginning.forced_by, *completed.forced_by),
    )
    return replace(request, beginning=None), whole


def _moved(mark: Mark, length: int) -> Mark:
    """A mark in a text that `length` characters precede."""
    return Mark(mark.begin + length, mark.end + length, mark.token_id)
