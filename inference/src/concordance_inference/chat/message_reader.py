"""Splits the text of a completion into the parts of a message while it is generated."""

from collections.abc import Callable, Sequence
from typing import Protocol

from concordance_shared import FinishReason, ToolCall

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallEnded,
    ContentText,
    MessagePart,
    ReadMessage,
    joined,
)
from concordance_inference.generation import Completed, TextDelta


class MessageReader(Protocol):
    """The reader of one completion."""

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the parts that more text adds; text that may be a marker is held back."""
        ...

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return what was held back, and the calls that mods made, once the completion ended."""
        ...


#: Makes the reader of a completion.
ReaderFactory = Callable[[], MessageReader]


class PlainReader:
    """Reads all text as content; tool calls are those that mods made."""

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the text as content."""
        return (ContentText(delta.text),)

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return the calls that mods made."""
        return calls_of_mods(completed.tool_calls)


def calls_of_mods(calls: Sequence[ToolCall], first: int = 0) -> list[MessagePart]:
    """The parts of complete calls.

    Args:
        calls: The calls.
        first: The index of the first one among the calls of the message.
    """
    parts: list[MessagePart] = []
    for index, call in enumerate(calls, first):
        parts.append(CallBegun(index, call.id, call.function.name))
        parts.append(CallArguments(index, call.function.arguments))
        parts.append(CallEnded(index))
    return parts


def whole_text(completed: Completed) -> TextDelta:
    """Return the text of a completion that was not streamed, as one delta."""
    return TextDelta(
        text=completed.text,
        token_ids=completed.token_ids,
        logprobs=completed.logprobs,
        marks=completed.marks,
    )


def read_parts(reader: MessageReader, completed: Completed) -> list[MessagePart]:
    """Return the parts of a completion that was not streamed."""
    return [*reader.add(whole_text(completed)), *reader.end(completed)]


def read_message(reader: MessageReader, completed: Completed) -> ReadMessage:
    """Read a completion that was not streamed."""
    return joined(read_parts(reader, completed))


def finish_reason(completed: Completed, *, has_calls: bool) -> FinishReason:
    """Why a message ended: a message that stops after calls ended to call them."""
    ended = completed.finish_reason
    return FinishReason.TOOL_CALLS if has_calls and ended == FinishReason.STOP else ended
