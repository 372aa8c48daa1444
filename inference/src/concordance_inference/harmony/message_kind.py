"""What a message of a Harmony completion is to a client, by its header."""

from typing import Literal

from concordance_inference.harmony.place import Header
from concordance_inference.tools.offer import ToolOffer

#: `other`: a message that the model wrote in the name of another author, which is left out.
MessageKind = Literal["reasoning", "content", "call", "other"]

#: The namespace of the tools that a request offers.
_FUNCTIONS = "functions."


def kind_of(header: Header, offer: ToolOffer | None) -> MessageKind:
    """Return what a message is.

    A message to an offered tool is a call, in any channel. Other messages are reasoning in the
    channel `analysis`, and content in all others.

    Args:
        header: Its header.
        offer: The tools that the completion may call.
    """
    if header.is_of_other:
        return "other"
    if called_tool(header, offer) is not None:
        return "call"
    return "reasoning" if header.channel == "analysis" else "content"


def called_tool(header: Header, offer: ToolOffer | None) -> str | None:
    """Return the name of the offered tool to which a message is sent; `None` if to no such tool.

    Args:
        header: Its header.
        offer: The tools that the completion may call.
    """
    if offer is None or header.recipient is None:
        return None
    name = header.recipient.removeprefix(_FUNCTIONS)
    return name if name in offer.by_name else None
