"""Finds a completion that runs, or that ended a short time ago."""

from concordance_inference.branching.errors import FIELD
from concordance_inference.caller import current_owner
from concordance_inference.engine.control.so_far import completion_so_far
from concordance_inference.engine.thread import EngineThread
from concordance_inference.resume.ended import EndedCompletion, EndedCompletions, request_ids_of


def find_completion(
    engine: EngineThread, ended: EndedCompletions, model: str, completion_id: str
) -> EndedCompletion | None:
    """Return the completion of an id, or `None`. Blocks while the engine is within a step.

    Args:
        engine: Runs the completions of the model.
        ended: Keeps those that have ended.
        model: The model's id.
        completion_id: The id of the response or of the request.

    Raises:
        InvalidRequestError: It is another model's.
        EngineError: The engine has stopped, or does not respond.
    """
    found = ended.kept(model, completion_id, field=FIELD)
    found = found or completion_so_far(engine, request_ids_of(completion_id))
    # It may have ended meanwhile.
    found = found or ended.kept(model, completion_id, field=FIELD)
    is_own = found is not None and found.request.owner == current_owner()
    return found if found is not None and is_own and not found.request.is_candidate else None
