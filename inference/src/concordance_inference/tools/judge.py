"""Checks the calls of a finished completion, independently of the grammar that enforced them."""

import json
import logging

from concordance_sdk.constraints.schema.validator import problem_of
from concordance_shared import (
    ConcordanceError,
    ConstraintError,
    EngineError,
    FinishReason,
    ToolCall,
)

from concordance_inference.chat.message_reader import read_message
from concordance_inference.chat.readers import reader_factory
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.tools.offer import ToolOffer, parameters_of

logger = logging.getLogger(__name__)


def call_fault(request: GenerationRequest, completed: Completed) -> ConcordanceError | None:
    """Return the error of a completion whose calls were not to be made; `None` if they may leave.

    Calls that mods made are theirs: they are not checked. Without the header guard, nothing
    enforces the calls of Harmony completions: they leave as the model wrote them.
    """
    offer = request.offer
    if offer is None or (request.harmony is not None and request.token_rules is None):
        return None
    calls = read_message(reader_factory(request)(), completed).tool_calls
    own = calls[: len(calls) - len(completed.tool_calls)]
    fault = next(filter(None, (_fault(call, offer) for call in own)), None)
    if fault is None:
        fault = _miscounted(len(own), completed, offer)
    if fault is None:
        return None
    has_mods = len(request.mods) > 1  # besides the one that enforces calls
    if has_mods:
        return ConstraintError(
            f"tools: {fault}, which a mod of the request made; leave out that mod, or tools",
            param="tools",
            mod="tools",
            event="Finished",
            step=len(completed.token_ids),
        )
    logger.error("request %s: %s; the text is %r", request.request_id, fault, completed.text)
    return EngineError(f"tools: {fault}; the grammar is at fault, please report the tools")


def _fault(call: ToolCall, offer: ToolOffer) -> str | None:
    """Why a call is wrong; `None` if it is right."""
    name, arguments = call.function.name, call.function.arguments
    tool = offer.by_name.get(name)
    if tool is None:
        return f"the completion calls {name!r:.80}, which is not offered"
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError) as exc:
        return f"the arguments of a call of {name} are not JSON ({exc})"
    if not isinstance(value, dict):
        return f"the arguments of a call of {name} are not an object"
    problem = problem_of(json.dumps(parameters_of(tool)), arguments)
    return problem and f"the arguments of a call of {name} do not follow its schema: {problem}"


def _miscounted(num_calls: int, completed: Completed, offer: ToolOffer) -> str | None:
    """Why the number of calls is wrong; `None` if it is right."""
    if num_calls > 1 and not offer.is_parallel:
        return f"the completion has {num_calls} calls, and one is allowed"
    is_finished = completed.finish_reason is FinishReason.STOP and completed.stopped_by is None
    if offer.is_required and is_finished and not num_calls:
        return f"the completion {completed.text!r:.80} has no call, and one is required"
    return None
