"""Finds the completion that a branch begins from, which runs or has ended."""

from concordance_inference.branching.errors import FIELD, unknown_parent
from concordance_inference.engine.control.so_far import completion_so_far
from concordance_inference.engine.thread import EngineThread
from concordance_inference.resume.ended import (
    EndedCompletion,
    EndedCompletions,
    request_ids_of,
)


def find_parent(
    engine: EngineThread, ended: EndedCompletions, model: str, completion_id: str
) -> EndedCompletion:
    """Return the completion of an id. Blocks while the engine is within a step.

    Args:
        engine: Runs the completions of the model.
        ended: Keeps those that have ended.
        model: The model's id.
        completion_id: The id of the response or of the request.

    Raises:
        UnknownCompletionError: It neither runs nor is kept.
        InvalidRequestError: It is another model's.
        EngineError: The engine has stopped, or does not respond.
    """
    found = ended.kept(model, completion_id, field=FIELD)
    found = found or completion_so_far(engine, request_ids_of(completion_id))
    # It may have ended meanwhile.
    found = found or ended.kept(model, completion_id, field=FIELD)
    if found is None or found.request.is_candidate:
        raise unknown_parent(completion_id)
    return found
