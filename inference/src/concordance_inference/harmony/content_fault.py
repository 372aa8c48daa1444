"""Checks the final messages of a completion that mods made, against the format of the request."""

from collections.abc import Callable, Sequence

from concordance_shared import ConstraintError, FinishReason

from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.content_mod import output_of
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.harmony.written_messages import written_messages


def content_fault(
    request: GenerationRequest, completed: Completed, token_bytes: Callable[[int], bytes]
) -> ConstraintError | None:
    """Return the error of a finished completion with a final message against the format.

    A mod may end the request before the format sees what it wrote: with `force_output`, or by
    forcing a message and its end at the same time.

    Args:
        request: The request.
        completed: Its completion.
        token_bytes: The bytes of a token.
    """
    output = output_of(request.mods)
    is_finished = completed.finish_reason is FinishReason.STOP and completed.stopped_by is None
    if request.harmony is None or output is None or not is_finished or len(request.mods) < 2:
        return None
    texts = final_texts(completed.token_ids, request.harmony, token_bytes)
    fault = next((text for text in texts if not output.allows(text)), None)
    if fault is None:
        return None
    return ConstraintError(
        f"{output.field}: it does not allow the message {fault!r:.80}, which a mod of the request "
        f"made; leave out that mod, or {output.field}",
        param=output.field,
        mod=output.field,
        event="Finished",
        step=len(completed.token_ids),
    )


def final_texts(
    token_ids: Sequence[int], turn: HarmonyTurn, token_bytes: Callable[[int], bytes]
) -> list[str]:
    """Return the final messages that a completion has from their first token on.

    Args:
        token_ids: The completion.
        turn: Where it begins.
        token_bytes: The bytes of a token.
    """
    return [
        message.text
        for message in written_messages(token_ids, turn, token_bytes)
        if message.is_whole and message.header.channel == "final" and not message.header.recipient
    ]
