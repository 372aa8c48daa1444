"""Checks the final messages of a completion that mods made, against the format of the request."""

from collections.abc import Callable, Iterator, Sequence

from concordance_shared import ConstraintError, FinishReason

from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony.content_mod import output_of
from concordance_inference.harmony.place import after_text, after_token
from concordance_inference.harmony.turn import HarmonyTurn


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
) -> Iterator[str]:
    """Iterate over the final messages that a completion has from their first token on.

    Args:
        token_ids: The completion.
        turn: Where it begins.
        token_bytes: The bytes of a token.
    """
    tokens, structural = turn.tokens, turn.tokens.all
    place, data = turn.opened, bytearray()
    is_final = False
    for token_id in token_ids:
        before = place
        if token_id in structural:
            place = after_token(place, token_id, tokens)
        elif place.kind == "content":
            data += token_bytes(token_id)
            continue
        else:
            place = after_text(place, token_bytes(token_id), tokens)
        if before.kind == "content" and is_final and place is not before:
            yield data.decode(errors="replace")
        if place.kind == "content" and place is not before:
            is_final = place.header.channel == "final" and place.header.recipient is None
            data = bytearray(place.salvaged.encode())
    if place.kind == "content" and is_final:
        yield data.decode(errors="replace")
