"""Channels: the parts of a completion, such as the reasoning and the answer."""

from msgspec import Struct

#: The channels that models with reasoning have; a model may write others.
ANALYSIS = "analysis"
FINAL = "final"

#: Recipients that are no tool: a message to one of them is one without a recipient.
_NO_TOOL = (None, "all", "user", "assistant")


class ChannelPlace(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the next token of a completion is: in a channel, or in what separates messages.

    Attributes:
        channel: `analysis` for reasoning, `final` for the answer, `commentary` for tool calls and
            preambles, or another one that the model wrote; `None` in a header.
        recipient: The tool that the message is sent to, such as `functions.get_weather`.
        in_header: The next token belongs to the header of a message, or to what precedes one.

    Examples:
        >>> ChannelPlace(channel="final").is_content, ChannelPlace(in_header=True).is_content
        (True, False)
    """

    channel: str | None = None
    recipient: str | None = None
    in_header: bool = False

    @property
    def is_to_tool(self) -> bool:
        """True within a message to a tool: the arguments of a call."""
        return self.recipient not in _NO_TOOL

    @property
    def is_reasoning(self) -> bool:
        """True within reasoning; a call of a tool from the channel `analysis` is none."""
        return self.channel == ANALYSIS and not self.is_to_tool

    @property
    def is_content(self) -> bool:
        """True within the text that a client receives as the content of the message."""
        return not (self.in_header or self.channel == ANALYSIS or self.is_to_tool)


#: The place in a completion of a model without channels: all of it is content.
NOWHERE = ChannelPlace()
