"""How a model marks channels, as data for workers."""

from typing import Any

from concordance_sdk.channels import ChannelFormat, TagFormat

from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.sandbox.protocol.events import ChannelsSpec, HarmonySpec, TagsSpec


def channels_spec(format: ChannelFormat | None) -> ChannelsSpec | None:  # noqa: A002
    """Describe the channels of a completion.

    Args:
        format: How the model marks them; `None` for a model without channels.

    Raises:
        TypeError: The format is of another kind, which workers cannot be sent.
    """
    match format:
        case None:
            return None
        case TagFormat():
            return TagsSpec(format.tags, format.opened_tags)
        case HarmonyChannels():
            return HarmonySpec(format.tokens, format.opened, format.may_answer)
        case _:
            raise TypeError(f"channels of {type(format).__name__} cannot be sent to a worker")


def format_of(spec: ChannelsSpec, tokenizer: Any) -> ChannelFormat:
    """Return the format that a description was made of.

    Args:
        spec: The description.
        tokenizer: The tokenizer of the same model.
    """
    functions = {"token_bytes": tokenizer.token_bytes, "encode": tokenizer.encode}
    if isinstance(spec, TagsSpec):
        return TagFormat(spec.tags, opened=spec.opened, **functions)
    return HarmonyChannels(spec.tokens, opened=spec.opened, may_answer=spec.may_answer, **functions)
