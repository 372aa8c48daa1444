"""Actions on the reasoning of a running request: add a text to it, or end it."""

from concordance_sdk.channels import ChannelFormat
from concordance_sdk.channels.completion_channels import channels_after
from concordance_shared import ForceTokens

from concordance_inference.control import (
    Act,
    ControlClient,
    Expected,
    RefusedCommandError,
    RequestView,
)
from concordance_inference.server.control.action_body import EndReasoningBody, ReasonBody


def reasoning_command(
    body: ReasonBody | EndReasoningBody,
    view: RequestView,
    channels: ChannelFormat | None,
    control: ControlClient,
) -> Act:
    """Return the command of an action on the reasoning. Runs on a background thread.

    It is refused by the engine if the reasoning ends before it is applied.

    Raises:
        RefusedCommandError: The model is not reasoning.
    """
    ids = view.completion_ids
    stretch = channels_after(channels, ids).stretch_at(len(ids)) if channels else None
    if channels is None or stretch is None or not stretch.place.is_reasoning:
        raise RefusedCommandError(
            "the model is not reasoning now, so that nothing can be added to its reasoning"
        )
    text, ends = body.text or "", channels.reasoning_ends(stretch.state)
    tokens = control.encode(text) if text else ()
    if isinstance(body, EndReasoningBody) and not any(end in text for end in ends):
        after = channels_after(channels, [*ids, *tokens])
        to_final = after.to_final()
        tokens = (*tokens, *((after.to_header() or ()) if to_final is None else to_final))
    return Act(
        action=ForceTokens(tokens),
        expected=Expected(num_edits=view.num_edits, num_tokens=len(ids), without=ends),
    )
