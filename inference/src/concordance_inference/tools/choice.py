"""The field `tool_choice`, in the shapes of OpenAI's chat and responses APIs."""

from typing import Any, Literal

import msgspec
from concordance_shared import InvalidRequestError
from msgspec import Struct

from concordance_inference.tools.offer import ToolChoice

_SHAPES = (
    '"none", "auto", "required", {"type": "function", "function": {"name": "..."}} or '
    '{"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [...]}}'
)


class _Named(Struct):
    name: str


class _Function(Struct, kw_only=True):
    """A tool by its name, nested as in chat requests or flat as in those of the responses API."""

    type: Literal["function"] = "function"
    function: _Named | None = None
    name: str | None = None


class _Allowed(Struct, kw_only=True):
    tools: list[_Function]
    mode: Literal["auto", "required"] = "auto"


class _AllowedTools(Struct, kw_only=True):
    type: Literal["allowed_tools"]
    allowed_tools: _Allowed | None = None


def tool_choice(
    value: Any, *, has_tools: bool, parallel: bool | None, param: str = "tool_choice"
) -> ToolChoice:
    """Decode the field.

    Args:
        value: The value of the field; `None` if it is left out.
        has_tools: The request has tools.
        parallel: The value of `parallel_tool_calls`.
        param: The path of the field.

    Raises:
        InvalidRequestError: It has none of the known shapes.
    """
    is_parallel = parallel is not False
    if value is None:
        return ToolChoice(mode="auto" if has_tools else "none", is_parallel=is_parallel)
    if isinstance(value, str):
        return ToolChoice(mode=_mode(value, param), is_parallel=is_parallel, param=param)
    kind = value.get("type") if isinstance(value, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if kind == "allowed_tools":
        return _allowed(value, is_parallel=is_parallel, param=param)
    if kind == "function":
        names = (_name(_converted(value, _Function, param), param),)
        return ToolChoice(mode="required", names=names, is_parallel=False, param=param)
    raise _refused(param)


def _mode(value: str, param: str) -> Literal["none", "auto", "required"]:
    match value:
        case "none" | "auto" | "required":
            return value
        case "any":  # as Mistral's clients spell it
            return "required"
        case _:
            raise _refused(param)


def _allowed(value: Any, *, is_parallel: bool, param: str) -> ToolChoice:
    """Several tools, of which the model may or must call some."""
    nested = _converted(value, _AllowedTools, param).allowed_tools
    chosen = _converted(value, _Allowed, param) if nested is None else nested
    at = f"{param}.allowed_tools.tools" if nested else f"{param}.tools"
    if not chosen.tools:
        raise InvalidRequestError(f"{at} is empty; name the tools that may be called", param=at)
    names = tuple(_name(tool, f"{at}[{i}]") for i, tool in enumerate(chosen.tools))
    return ToolChoice(mode=chosen.mode, names=names, is_parallel=is_parallel, param=param)


def _name(tool: _Function, at: str) -> str:
    name = tool.function.name if tool.function else tool.name
    if name is None:
        raise InvalidRequestError(
            f'{at} names no function; write {{"type": "function", "function": {{"name": "..."}}}}',
            param=at,
        )
    return name


def _converted(value: Any, kind: Any, param: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise _refused(param, f": {exc}") from exc


def _refused(param: str, why: str = "") -> InvalidRequestError:
    return InvalidRequestError(f"{param} is not one of {_SHAPES}{why}", param=param)
