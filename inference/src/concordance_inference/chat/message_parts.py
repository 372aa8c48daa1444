"""The parts of an assistant's message: reasoning, content, and calls of tools."""

from collections.abc import Iterable

from concordance_shared import FunctionCall, ToolCall
from msgspec import Struct


class ReasoningText(Struct, frozen=True):
    """More text of the reasoning."""

    text: str


class ContentText(Struct, frozen=True):
    """More text of the content."""

    text: str


class CallBegun(Struct, frozen=True):
    """A call of a tool begins; its arguments follow."""

    index: int  # among the calls of the message, from 0
    id: str
    name: str


class CallArguments(Struct, frozen=True):
    """More text of the arguments of a call, which are JSON."""

    index: int
    text: str


MessagePart = ReasoningText | ContentText | CallBegun | CallArguments


class ReadMessage(Struct, frozen=True, kw_only=True):
    """A whole message."""

    reasoning: str = ""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def joined(parts: Iterable[MessagePart]) -> ReadMessage:
    """Join the parts of a message.

    Examples:
        >>> joined([ContentText("a"), ContentText("b")]).content
        'ab'
    """
    reasoning: list[str] = []
    content: list[str] = []
    begun: list[CallBegun] = []
    arguments: dict[int, list[str]] = {}
    for part in parts:
        match part:
            case ReasoningText():
                reasoning.append(part.text)
            case ContentText():
                content.append(part.text)
            case CallBegun():
                begun.append(part)
            case CallArguments():
                arguments.setdefault(part.index, []).append(part.text)
    calls = tuple(
        ToolCall(
            id=call.id,
            function=FunctionCall(name=call.name, arguments="".join(arguments.get(call.index, ()))),
        )
        for call in begun
    )
    return ReadMessage(reasoning="".join(reasoning), content="".join(content), tool_calls=calls)
