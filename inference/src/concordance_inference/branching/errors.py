"""The errors of requests that branch off a completion."""

from concordance_inference.resume.ended import UnknownCompletionError

#: The field that names the completion.
FIELD = "branch_from.id"


def unknown_parent(completion_id: str, where: str = "") -> UnknownCompletionError:
    """Return the error for an id of which no completion is known.

    Args:
        completion_id: The id.
        where: Limits the claim, as in " for this cache_salt".
    """
    return UnknownCompletionError(
        f"{FIELD}: no completion {completion_id!r:.80} runs or is kept{where}; one that has ended "
        "can be branched from for the time of --resume-seconds, on the server that generated it",
        param=FIELD,
    )


def unknown_completion(completion_id: str) -> UnknownCompletionError:
    """Return the error for an id in a path of which no completion is known."""
    return UnknownCompletionError(
        f"no completion {completion_id!r:.80} runs or is kept; one that has ended is kept for the "
        "time of --resume-seconds, on the server that generated it"
    )
