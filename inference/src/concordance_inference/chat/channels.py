"""The channels of a request's completion, by its chat format."""

from collections.abc import Sequence

from concordance_sdk.channels import ChannelFormat, TagFormat
from concordance_sdk.composed import ComposingEncoder

from concordance_inference.chat.format import ChatFormat
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.turn import turn_after
from concordance_inference.reasoning import Reasoning
from concordance_inference.tools.offer import ToolOffer


def channels_of(
    chat: ChatFormat,
    reasoning: Reasoning | None,
    prompt_ids: Sequence[int],
    offer: ToolOffer | None = None,
) -> ChannelFormat | None:
    """Return how a completion is divided into channels; `None` for a model that does not reason.

    Also `None` for a prompt of Harmony's models without a message, which they continue as text.

    Args:
        chat: The chat format.
        reasoning: How the reasoning is marked in the text.
        prompt_ids: The prompt.
        offer: The tools that the model may call.
    """
    if chat.harmony is not None:
        if chat.harmony.start not in prompt_ids:
            return None
        return HarmonyChannels(
            chat.harmony,
            opened=turn_after(prompt_ids, chat.harmony, chat.token_bytes).opened,
            token_bytes=chat.token_bytes,
            encode=composing(chat).encode,
            may_answer=offer is None or not offer.is_required,
        )
    if reasoning is None:
        return None
    return TagFormat(
        reasoning.tags,
        opened=reasoning.opened,
        token_bytes=chat.token_bytes,
        encode=composing(chat).encode,
    )


def composing(chat: ChatFormat) -> ComposingEncoder:
    """Return the encoder of texts that follow other tokens."""

    def adds(token_ids: Sequence[int], text: str) -> bool:
        return b"".join(map(chat.token_bytes, token_ids)) == text.encode()

    return ComposingEncoder(lambda text: chat.tokenize(text, adds_special=False), adds)
