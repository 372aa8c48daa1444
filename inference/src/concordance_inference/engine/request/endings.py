"""Which tokens end the completion of a request. No arrays."""

from collections.abc import Collection

from concordance_inference.generation import GenerationRequest


def ending_ids(request: GenerationRequest, eos_ids: Collection[int]) -> frozenset[int]:
    """Return the tokens that end a request's completion where they are sampled.

    Args:
        request: The request.
        eos_ids: The end-of-sequence tokens of the model, which `ignore_eos` leaves out.
    """
    own = frozenset(request.stop_token_ids)
    return own if request.ignore_eos else own.union(eos_ids)
