"""The bodies of Anthropic's Messages API: its fields, and ours for sampling, formats and mods."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from concordance_inference.server.openai.generation_fields import (
    GenerationFields,
    StopStrings,
)
from concordance_inference.server.openai.prompt_logprobs import HARMLESS as EXACT_LOGPROBS
from concordance_inference.server.openai.schemas import MAX_MESSAGES
from concordance_inference.server.openai.several_choices import HARMLESS as SEVERAL
from concordance_inference.server.openai.unsupported import FIELDS, Harmless

MaxTokens = Annotated[int, Meta(ge=0, le=2**53)]

#: Limit of tools in a request.
MAX_TOOLS = 512


class MessageParam(Struct, kw_only=True):
    """A message: text, or blocks of content."""

    role: Literal["user", "assistant", "system"]
    content: Raw


class ToolChange(Struct, kw_only=True):
    """The tool that a block adds or removes."""

    type: Literal["tool_reference"]
    name: str


class Block(Struct, kw_only=True):
    """A block of content. Which fields it has depends on its type."""

    type: str
    text: str | None = None  # of `text`
    thinking: str | None = None  # of `thinking`, as the next one
    signature: str | None = None
    id: str | None = None  # of `tool_use`, as the next two
    name: str | None = None
    input: Raw | UnsetType = UNSET
    tool_use_id: str | None = None  # of `tool_result`, as the next two
    content: Raw | UnsetType = UNSET
    is_error: bool | None = None
    tool_name: str | None = None  # of `tool_reference`
    tool: ToolChange | None = None  # of `tool_addition` and `tool_removal`


class ToolParam(Struct, kw_only=True):
    """A tool that the client runs."""

    name: str
    input_schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None
    type: str | None = None
    defer_loading: bool | None = None  # not offered until a block of the conversation names it


class ToolChoiceParam(Struct, kw_only=True):
    """How the model may call the tools."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingParam(Struct, kw_only=True):
    """How the model reasons."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None


class FormatParam(Struct, kw_only=True):
    """The format of the text: JSON of a schema."""

    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(Struct, kw_only=True):
    """How much the model reasons, and the format of its text."""

    effort: Annotated[str, Meta(max_length=32)] | None = None
    format: FormatParam | None = None


class CountTokensRequest(GenerationFields, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`."""

    messages: Annotated[list[Raw], Meta(max_length=MAX_MESSAGES)] | UnsetType | None = UNSET
    system: Raw | UnsetType = UNSET  # a text, or blocks
    tools: Annotated[list[ToolParam], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingParam | None = None
    output_config: OutputConfig | None = None
    output_format: FormatParam | None = None
    stop_sequences: StopStrings | None = None
    max_tokens: MaxTokens | None = None


class MessagesRequest(CountTokensRequest, kw_only=True):
    """The body of `POST /v1/messages`."""

    id_prefix: ClassVar[str] = "msg_"

    max_tokens: MaxTokens  # type: ignore[assignment]  # required here


#: Fields that change the output and are not those of this API, with their harmless values.
UNSUPPORTED: dict[str, Harmless] = {
    **{name: v for name, v in FIELDS.items() if name not in MessagesRequest.__struct_fields__},
    **SEVERAL,
    **EXACT_LOGPROBS,
    "container": (),
    "mcp_servers": ([],),
    "stream_options": ({},),
    "return_token_ids": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": (),
    "max_completion_tokens": (),
    "reasoning_effort": (),
    "chat_template_kwargs": ({},),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "allow_control_tokens": (False,),
}
