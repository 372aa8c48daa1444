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


class CallEnded(Struct, frozen=True):
    """The arguments of a call are complete."""

    index: int


class CallCut(Struct, frozen=True):
    """The completion ended within a call, which is no call then, and may not have begun."""

    index: int
    text: str  # of the call, as the model wrote it; empty where only calls were allowed


MessagePart = ReasoningText | ContentText | CallBegun | CallArguments | CallEnded | CallCut


class ReadMessage(Struct, frozen=True, kw_only=True):
    """A whole message."""

    reasoning: str = ""
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def joined(parts: Iterable[MessagePart]) -> ReadMessage:
    """Join the parts of a message. The text of a call that is cut is content.

    Examples:
        >>> joined([ContentText("a"), ContentText("b")]).content
        'ab'
    """
    reasoning: list[str] = []
    content: list[str] = []
    begun: dict[int, CallBegun] = {}
    arguments: dict[int, list[str]] = {}
    for part in parts:
        match part:
            case ReasoningText():
                reasoning.append(part.text)
            case ContentText():
                content.append(part.text)
            case CallBegun():
                begun[part.index] = part
            case CallArguments():
                arguments.setdefault(part.index, []).append(part.text)
            case CallEnded():
                pass
            case CallCut():
                begun.pop(part.index, None)
                content.append(part.text)
    calls = tuple(
        ToolCall(
            id=call.id,
            function=FunctionCall(name=call.name, arguments="".join(arguments.get(call.index, ()))),
        )
        for call in begun.values()
    )
    return ReadMessage(reasoning="".join(reasoning), content="".join(content), tool_calls=calls)
