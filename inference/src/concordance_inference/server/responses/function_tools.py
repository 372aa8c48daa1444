"""The tools of a request: functions of the client, which the response may call."""

from collections.abc import Sequence
from typing import Any, Literal

from concordance_shared import FunctionSchema, InvalidRequestError, Tool
from msgspec import Raw, Struct

from concordance_inference.server.transport.body import decode_body


class _Kind(Struct):
    type: str | None = None
    name: Raw = Raw(b"")
    function: Raw = Raw(b"")


class FunctionTool(Struct, kw_only=True):
    """A function that the model may call."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    defer_loading: Literal[False] | None = None
    allowed_callers: tuple[Literal["direct"]] | None = None

    @property
    def plain(self) -> Tool:
        """The tool as mods, templates and parsers expect it."""
        function = FunctionSchema(
            name=self.name,
            description=self.description,
            parameters=self.parameters,
            strict=self.strict,
        )
        return Tool(function=function)

    @property
    def shown(self) -> dict[str, Any]:
        """The tool as the response repeats it."""
        return {
            "type": self.type,
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": self.strict,
        }


def decode_tools(given: Sequence[Raw]) -> tuple[FunctionTool, ...]:
    """Decode and check tools.

    Raises:
        InvalidRequestError: One is not a function, or is wrong; `param` names its field.
    """
    return tuple(_tool(raw, f"tools[{i}]") for i, raw in enumerate(given))


def _tool(raw: Raw, at: str) -> FunctionTool:
    kind = decode_body(raw, _Kind, at=at)
    if kind.type != "function":
        raise InvalidRequestError(
            f"{at} is of type {kind.type!r:.60}; this server runs no tools of its own, so offer "
            "functions, of type 'function', and run them in the client",
            param=f"{at}.type",
        )
    if bytes(kind.function) and not bytes(kind.name):
        raise InvalidRequestError(
            f"{at}.function: this is the form of /v1/chat/completions; here `name` and "
            "`parameters` are fields of the tool itself",
            param=f"{at}.function",
        )
    return decode_body(raw, FunctionTool, at=at)
