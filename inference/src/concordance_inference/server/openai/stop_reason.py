"""The field `stop_reason` of a choice, which vLLM introduced."""

from concordance_inference.generation import Completed


def stop_reason(completed: Completed) -> dict[str, str | int]:
    """The stop string, or the token of `stop_token_ids`, that ended a completion, if any."""
    return {} if completed.stopped_by is None else {"stop_reason": completed.stopped_by}
