"""The field `stop_reason` of a choice, which vLLM introduced."""

from concordance_inference.generation import Completed
from concordance_inference.loop_detection import LOOP, ends_in_loop


def stop_reason(completed: Completed) -> dict[str, str | int]:
    """What ended a completion: a stop string, a token of `stop_token_ids`, or a loop, if any."""
    if ends_in_loop(completed.loops):
        return {"stop_reason": LOOP}
    return {} if completed.stopped_by is None else {"stop_reason": completed.stopped_by}
