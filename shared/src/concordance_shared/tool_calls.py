"""Convert tool calls from every form that a mod can return into OpenAI's format."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from concordance_shared.conversation import FunctionCall, ToolCall


def tool_calls_from(calls: object) -> tuple[ToolCall, ...]:
    """Convert one tool call or several, given as structs or mappings, to OpenAI's format.

    The function's fields may be nested in `function` or at the top level, its arguments may be an
    object or JSON text, and a missing id is generated.

    Raises:
        ValueError: There is no call or no name, or the arguments cannot be encoded as JSON.
    """
    if isinstance(calls, ToolCall | Mapping):
        calls = (cast(object, calls),)
    if not isinstance(calls, Sequence) or isinstance(calls, str | bytes) or not calls:
        raise ValueError(f"expected a tool call or a list of them, not {calls!r:.80}")
    return tuple(_tool_call(call) for call in cast(Sequence[object], calls))


def new_tool_call_id() -> str:
    """Return a random id in OpenAI's format."""
    return f"call_{os.urandom(12).hex()}"


def _tool_call(call: object) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    if not isinstance(call, Mapping):
        raise ValueError(f"expected a tool call, not {call!r:.80}")  # noqa: TRY004
    fields = cast(Mapping[str, Any], call)
    function = fields.get("function", fields)
    if isinstance(function, FunctionCall):
        return ToolCall(id=_id(fields), function=function)
    name = cast(Mapping[str, Any], function).get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f"a tool call needs the name of a function: {call!r:.80}")
    _check_fields(cast(Mapping[str, Any], function), call)
    arguments = _arguments(cast(Mapping[str, Any], function).get("arguments"))
    return ToolCall(id=_id(fields), function=FunctionCall(name=str(name), arguments=arguments))


def _check_fields(function: Mapping[str, Any], call: object) -> None:
    """Reject arguments under another name, which would be dropped."""
    for name in ("parameters", "args", "kwargs", "input", "argument", "params"):
        if name in function and "arguments" not in function:
            raise ValueError(f"a tool call has `arguments`, not `{name}`: {call!r:.80}")


def _id(fields: Mapping[str, Any]) -> str:
    return str(fields.get("id") or new_tool_call_id())


def _arguments(arguments: object) -> str:
    if isinstance(arguments, str):
        return str(arguments)
    if isinstance(arguments, list | tuple | set | int | float):
        raise ValueError(  # noqa: TRY004  # caught with the others
            f"the arguments of a tool call are an object, name -> value, not {arguments!r:.60}"
        )
    try:
        return _ENCODER.encode({} if arguments is None else arguments).decode()
    except (TypeError, ValueError) as exc:
        raise ValueError(f"the arguments of a tool call must be JSON: {exc}") from exc


def _as_str(value: object) -> str:
    """Convert a subclass of `str`, such as the text of a script's step, which JSON encodes."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{value!r:.80} is of type {type(value).__name__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_as_str)
