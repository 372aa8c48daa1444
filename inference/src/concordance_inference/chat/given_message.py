"""Messages as callers give them: tool calls may lack an id, and have an object as arguments."""

from typing import Any, Literal

import msgspec
from concordance_shared import FunctionCall, Message, ToolCall
from msgspec import Struct


class GivenFunctionCall(Struct, frozen=True):
    """A function and its arguments, as text or as an object."""

    name: str
    arguments: str | dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The arguments as text."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return "{}" if self.arguments is None else self.arguments


class GivenToolCall(Struct, frozen=True, kw_only=True):
    """A tool call."""

    function: GivenFunctionCall
    id: str | None = None
    type: Literal["function"] | None = None

    @property
    def plain(self) -> ToolCall:
        """The call with text as arguments; its id is empty if it has none."""
        function = FunctionCall(name=self.function.name, arguments=self.function.text)
        return ToolCall(id=self.id or "", function=function)


class GivenMessage(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A message."""

    tool_calls: tuple[GivenToolCall, ...] | None = None  # type: ignore[assignment]

    @property
    def plain(self) -> Message:
        """The message with its tool calls as mods and templates expect them."""
        fields = {name: getattr(self, name) for name in Message.__struct_fields__}
        if self.tool_calls is not None:
            fields["tool_calls"] = tuple(call.plain for call in self.tool_calls)
        return Message(**fields)
