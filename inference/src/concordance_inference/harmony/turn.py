"""The turn of the assistant that a Harmony prompt opens."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from concordance_inference.harmony.message_kind import MessageKind
from concordance_inference.harmony.place import START, Place, after, after_token
from concordance_inference.harmony.vocabulary import HarmonyTokens


class HarmonyTurn(Struct, frozen=True, kw_only=True):
    """What the completion of a Harmony prompt is read with.

    Attributes:
        tokens: The structural tokens.
        opened: The place at which the completion begins.
        num_calls: Calls of hosted tools in earlier rounds, whose messages the prompt has.
        has_text: The kinds of messages of which these rounds have text.
    """

    tokens: HarmonyTokens
    opened: Place = START
    num_calls: int = 0
    has_text: frozenset[MessageKind] = frozenset()

    def kept_ids(self, *, continues: bool = False) -> tuple[int, ...]:
        """Return the structural tokens that the text of a completion has by name.

        Args:
            continues: Tokens that would stop the completion are within it (`ignore_eos`).
        """
        return tuple(sorted(self.tokens.all - (set() if continues else self.tokens.stop_ids)))


def turn_after(
    prompt_ids: Sequence[int], tokens: HarmonyTokens, token_bytes: Callable[[int], bytes]
) -> HarmonyTurn:
    """Return the turn that a prompt opens.

    Args:
        prompt_ids: The prompt.
        tokens: The structural tokens.
        token_bytes: The bytes of a token.
    """
    begin = len(prompt_ids)
    while begin and prompt_ids[begin - 1] != tokens.start:
        begin -= 1
    if not begin:  # no message
        return HarmonyTurn(tokens=tokens)
    place = after_token(START, tokens.start, tokens)
    for token_id in prompt_ids[begin:]:
        place = after(place, token_id, tokens, token_bytes)
    is_usual = place.kind == "header" and place.written == (b"assistant",)
    return HarmonyTurn(tokens=tokens, opened=START if is_usual else place)
