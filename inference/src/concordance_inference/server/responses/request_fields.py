"""The body of `POST /v1/responses`, and of `POST /v1/responses/input_tokens`."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from msgspec import Meta, Raw, Struct

from concordance_inference.generation import MAX_TOP_LOGPROBS
from concordance_inference.server.openai.generation_fields import Count, GenerationFields
from concordance_inference.server.openai.prompt_logprobs import HARMLESS as EXACT_LOGPROBS
from concordance_inference.server.openai.reasoning_fields import HARMLESS as REASONING
from concordance_inference.server.openai.reasoning_fields import Budget
from concordance_inference.server.openai.schemas import MAX_ITEMS
from concordance_inference.server.openai.several_choices import HARMLESS as SEVERAL
from concordance_inference.server.openai.unsupported import FIELDS, Harmless
from concordance_inference.server.responses.given_items import GivenItem

#: An item that is decoded later.
RawItem = Annotated[
    Raw,
    Meta(
        extra_json_schema={
            "anyOf": [
                {"$ref": f"#/components/schemas/{kind.__name__}"} for kind in get_args(GivenItem)
            ]
        }
    ),
]

#: A tool that is decoded later.
RawTool = Annotated[Raw, Meta(extra_json_schema={"$ref": "#/components/schemas/FunctionTool"})]

Label = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=16),
]


class ReasoningOfResponse(Struct, kw_only=True, forbid_unknown_fields=True):
    """How the model reasons, and what the response has of it."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None  # an older name
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard", "pro"] | None = None
    max_tokens: Budget | None = None  # not OpenAI's
    enabled: bool | None = None  # not OpenAI's


class TextFormat(Struct, kw_only=True, forbid_unknown_fields=True):
    """The format of the text."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Meta(max_length=256)] | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """The text of the response."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class PromptCacheFields(Struct, kw_only=True, forbid_unknown_fields=True):
    """OpenAI's options of its prompt cache; here every prompt is cached."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m", "12h"] | None = None
    comparison_response_id: str | None = None
    prewarm: Literal[False] | None = None


Include = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    # Of tools and parts that responses of this server do not have:
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]


class ResponseRequest(GenerationFields, kw_only=True):
    """The body of `POST /v1/responses`. Items and tools are decoded later."""

    id_prefix: ClassVar[str] = "resp_"

    input: str | Annotated[list[RawItem], Meta(max_length=MAX_ITEMS)] | None = None
    instructions: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=256)] | None = None
    store: bool | None = None
    background: bool | None = None
    tools: Annotated[list[RawTool], Meta(max_length=128)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Count | None = None  # of tools that the server runs: none
    text: TextFields | None = None
    reasoning: ReasoningOfResponse | None = None
    max_output_tokens: Count | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: Annotated[list[Include], Meta(max_length=16)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    metadata: Metadata | None = None
    user: Label | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    prompt_cache_options: PromptCacheFields | None = None
    service_tier: (
        Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None
    ) = None
    chat_template_kwargs: dict[str, Any] | None = None
    allow_control_tokens: bool | None = None  # names of control tokens in messages become tokens


#: Fields of other APIs that this one has under another name.
RENAMED: Mapping[str, str] = {
    "messages": "input",
    "system": "instructions",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "logprobs": 'include: ["message.output_text.logprobs"]',
    "functions": "tools",
    "function_call": "tool_choice",
    "conversation": "previous_response_id",
    "prompt": "instructions and input",
}

#: Fields that change the output and are not implemented, with their harmless values.
UNSUPPORTED: Mapping[str, Harmless] = {
    **{
        name: harmless
        for name, harmless in {**FIELDS, **REASONING}.items()
        if name not in {*ResponseRequest.__struct_fields__, *RENAMED}
    },
    **SEVERAL,
    **EXACT_LOGPROBS,
    "context_management": ([],),
    "background_options": ({}, {"completion_window": "soonest"}),
    "access_programs": ({},),
    "image": ({}, {"context_compression": "auto"}),
    "moderation": (),
    "personality": (),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
}
