"""Actions on the reasoning of a running request: add a text to it, or end it."""

from concordance_shared import ForceTokens

from concordance_inference.control import (
    Act,
    ControlClient,
    Expected,
    RefusedCommandError,
    RequestView,
)
from concordance_inference.reasoning import Reasoning, Tags
from concordance_inference.server.control.action_body import EndReasoningBody, ReasonBody


def reasoning_command(
    body: ReasonBody | EndReasoningBody,
    view: RequestView,
    reasoning: Reasoning | None,
    control: ControlClient,
) -> Act:
    """Return the command of an action on the reasoning. Runs on a worker thread.

    It is refused by the engine if the reasoning ends before it is applied.

    Raises:
        RefusedCommandError: The model is not reasoning.
    """
    tags = _open(view, reasoning, control)
    if tags is None:
        raise RefusedCommandError(
            "the model is not reasoning now, so that nothing can be added to its reasoning"
        )
    _, closing = tags
    text = body.text or ""
    if isinstance(body, EndReasoningBody) and closing not in text:
        text += closing
    return Act(
        action=ForceTokens(control.encode(text)),
        expected=Expected(
            num_edits=view.num_edits, num_tokens=len(view.completion_ids), without=(closing,)
        ),
    )


def _open(view: RequestView, reasoning: Reasoning | None, control: ControlClient) -> Tags | None:
    """The tags of the reasoning that a completion is in; `None` if it is in none."""
    if reasoning is None:
        return None
    text = control.decode(view.completion_ids)
    if reasoning.opened is not None:
        return None if reasoning.opened[1] in text else reasoning.opened
    for tags in reasoning.tags:
        if text.lstrip().startswith(tags[0]):
            return None if tags[1] in text else tags
    return None
