"""The tools that a request offers to the model, and how it may call them."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from concordance_shared import InvalidRequestError, Tool
from msgspec import Struct

from concordance_inference.tools.tool_format import ToolFormat

#: Limit of characters in a name.
MAX_NAME = 128

#: The names that every format can write.
_NAME = re.compile(f"[A-Za-z0-9_./-]{{1,{MAX_NAME}}}")


class ToolChoice(Struct, frozen=True, kw_only=True):
    """What a request says about calls of tools.

    Attributes:
        mode: `none`: no calls; `auto`: the model chooses; `required`: at least one call.
        names: The only tools that may be called; `None` for all.
        is_parallel: A message may have several calls.
        param: The field of the request that has the names, for messages.
    """

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] | None = None
    is_parallel: bool = True
    param: str = "tool_choice"


#: The model chooses among all tools.
AUTO = ToolChoice()


class ToolOffer(Struct, frozen=True, kw_only=True, eq=False, dict=True):
    """The tools that a model may call in one request, and the format of its calls.

    Attributes:
        tools: The tools that may be called.
        indices: The index of each in the request, for messages.
        format: The format.
        is_required: The model must call one.
        is_parallel: It may call several.
    """

    tools: tuple[Tool, ...]
    indices: tuple[int, ...]
    format: ToolFormat
    is_required: bool = False
    is_parallel: bool = True

    @cached_property
    def by_name(self) -> dict[str, Tool]:
        """The tools by name."""
        return {tool.function.name: tool for tool in self.tools}

    @property
    def shown_ids(self) -> tuple[int, ...]:
        """The special tokens around calls, which are part of the text."""
        return tuple(self.format.special.values())

    def place(self, name: str) -> str:
        """The path of a tool's parameters in the request."""
        index = self.indices[[*self.by_name].index(name)]
        return f"tools[{index}].function.parameters"


def tool_offer(
    tools: Sequence[Tool], choice: ToolChoice, tool_format: ToolFormat
) -> ToolOffer | None:
    """Return the offer of a request; `None` if the model can call nothing.

    Raises:
        InvalidRequestError: A tool cannot be offered, or the choice does not fit the tools.
    """
    _check_names(tools)
    known = [tool.function.name for tool in tools]
    if not tools and (choice.mode == "required" or choice.names is not None):
        raise InvalidRequestError(
            f"{choice.param}: there are no tools to call; give `tools`, or leave tool_choice out",
            param=choice.param,
        )
    for name in choice.names or ():
        if name not in known:
            raise InvalidRequestError(
                f"{choice.param}: there is no tool {name!r:.80}; the tools are: "
                f"{', '.join(known)[:400]}",
                param=choice.param,
            )
    if choice.mode == "none" or not tools:
        return None
    chosen = [i for i, name in enumerate(known) if choice.names is None or name in choice.names]
    return ToolOffer(
        tools=tuple(tools[i] for i in chosen),
        indices=tuple(chosen),
        format=tool_format,
        is_required=choice.mode == "required",
        is_parallel=choice.is_parallel and tool_format.layout.again is not None,
    )


def _check_names(tools: Sequence[Tool]) -> None:
    """Refuse names that a call could not have, and names of two tools."""
    seen: dict[str, int] = {}
    for i, tool in enumerate(tools):
        name, at = tool.function.name, f"tools[{i}].function.name"
        if not _NAME.fullmatch(name):
            raise InvalidRequestError(
                f"{at}: {name!r:.80} is not the name of a function; a name has 1 to 128 letters, "
                "digits, '_', '-', '.' and '/'",
                param=at,
            )
        if name in seen:
            raise InvalidRequestError(
                f"{at}: tools[{seen[name]}] has the name {name!r:.80} too; give each its own",
                param=at,
            )
        seen[name] = i


def parameters_of(tool: Tool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, which are an object.

    An object whose schema lists its properties, and does not mention others, has no others.
    """
    given = tool.function.parameters
    if given is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema = {**given, "type": "object"}
    if _is_closed(schema):
        schema = {**schema, "additionalProperties": False}
    return schema


#: Keywords beside which `properties` lists all properties that are meant.
_PLAIN = frozenset(
    {
        "type",
        "properties",
        "required",
        "title",
        "description",
        "default",
        "examples",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
)


def _is_closed(schema: dict[str, Any]) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    return (
        isinstance(properties, dict)
        and isinstance(required, list)
        and _PLAIN.issuperset(schema)
        and all(key in properties for key in required)  # pyright: ignore[reportUnknownVariableType]
    )
