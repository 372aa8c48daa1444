"""The count of the reasoning tokens of a Harmony completion."""

from collections.abc import Callable, Sequence

from concordance_inference.harmony.message_kind import kind_of
from concordance_inference.harmony.place import after
from concordance_inference.harmony.turn import HarmonyTurn
from concordance_inference.tools.offer import ToolOffer


def num_analysis_tokens(
    token_ids: Sequence[int],
    turn: HarmonyTurn,
    offer: ToolOffer | None,
    token_bytes: Callable[[int], bytes],
) -> int:
    """Return the number of tokens within messages that are reasoning, without their headers.

    Args:
        token_ids: The completion.
        turn: Where it begins.
        offer: The tools that it may call.
        token_bytes: The bytes of a token.
    """
    tokens = turn.tokens
    place, count = turn.opened, 0
    is_reasoning = kind_of(place.header, offer) == "reasoning"
    for token_id in token_ids:
        before, place = place, after(place, token_id, tokens, token_bytes)
        if place is not before and place.kind == "content":
            is_reasoning = kind_of(place.header, offer) == "reasoning"
        elif place.kind == "content" and token_id not in tokens.all:
            count += is_reasoning
    return count
