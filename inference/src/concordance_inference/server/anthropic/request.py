"""Turns the bodies of Anthropic's Messages API into requests for the engine.

The work grows with the size of the body, so it runs on a background thread.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
from concordance_shared import (
    FunctionSchema,
    InvalidRequestError,
    JsonSchemaFormat,
    Message,
    ResponseFormat,
    Schemas,
    Tool,
)
from msgspec import Struct

from concordance_inference.chat.reasoning_choice import SWITCHES, ReasoningChoice
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.chat.request import build_request
from concordance_inference.generation import GenerationRequest, ModelInfo
from concordance_inference.server.anthropic.conversation import decode_conversation
from concordance_inference.server.anthropic.schemas import (
    UNSUPPORTED,
    CountTokensRequest,
    FormatParam,
    MessagesRequest,
    ToolParam,
)
from concordance_inference.server.branches.branch_from import begins_elsewhere, generation_from
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.envelope import check_fields, fields_of
from concordance_inference.server.openai.generation_fields import (
    decode_request,
    generation_options,
    required_list,
)
from concordance_inference.server.openai.output_fields import output_format
from concordance_inference.server.served_models import ServedModel
from concordance_inference.tools.offer import ToolChoice

_CONTINUED = Rendering(continues_final_message=True)

_MESSAGES = fields_of(MessagesRequest, UNSUPPORTED)
_COUNT = fields_of(CountTokensRequest, UNSUPPORTED)

Body = TypeVar("Body", bound=CountTokensRequest)


class MessagesExchange(Struct, frozen=True, kw_only=True, eq=False):
    """A request for a message, decoded and checked."""

    body: MessagesRequest
    served: ServedModel
    generation: GenerationRequest

    @property
    def omits_thinking(self) -> bool:
        """True if blocks of thinking have no text."""
        thinking = self.body.thinking
        return bool(thinking and thinking.display == "omitted")


def messages_request(raw: bytes, context: ServerContext) -> MessagesExchange:
    """Decode and check a body, and render its prompt.

    Raises:
        ConcordanceError: A field is wrong, or names a model or mod that is not there.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_request(check_fields(raw, _MESSAGES), MessagesRequest)
    served = context.models.named(body.model)
    if begins_elsewhere(body):
        generation = generation_from(
            body, served, context, stop=body.stop_sequences, max_tokens=body.max_tokens
        )
        return MessagesExchange(body=body, served=served, generation=generation)
    options = {"max_tokens": body.max_tokens}
    generation = _generation(body, served, served.info, context, options)
    return MessagesExchange(body=body, served=served, generation=generation)


def num_prompt_tokens(raw: bytes, context: ServerContext) -> dict[str, int]:
    """Return the number of tokens of a body's prompt, also of one that is too long.

    Raises:
        ConcordanceError: A field is wrong, or names a model or mod that is not there.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_request(check_fields(raw, _COUNT), CountTokensRequest)
    served = context.models.named(body.model)
    unlimited = msgspec.structs.replace(served.info, context_length=2**62)
    generation = _generation(body, served, unlimited, context, {})
    return {"input_tokens": len(generation.prompt_ids)}


def _generation(
    body: CountTokensRequest,
    served: ServedModel,
    info: ModelInfo,
    context: ServerContext,
    own_options: dict[str, Any],
) -> GenerationRequest:
    given = decode_conversation(body.system, required_list(body.messages, "messages"))
    options = generation_options(body, served, context)
    options["stop"] = (*options.get("stop", ()), *(body.stop_sequences or ()))
    tools = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(body.tools or ())]
    offered = (
        tool for tool, param in zip(tools, body.tools or (), strict=True) if given.offers(param)
    )
    response_format = _response_format(body)
    build = partial(
        build_request,
        chat=served.chat,
        model=info,
        schemas=Schemas(tools=tuple(offered), response_format=response_format),
        output=output_format(body, response_format),
        rendering=_rendering(given.messages),
        tool_choice=_tool_choice(body),
        reasoning=_reasoning(body, served),
        truncation=context.truncation if isinstance(body, MessagesRequest) else "disabled",
        **options,
        **own_options,
    )
    try:
        return build(given.messages)
    except InvalidRequestError as exc:
        if exc.param != "messages" or not given.has_late_system:
            raise
        return build(given.without_late_system)  # the template has refused the messages


def _rendering(messages: Sequence[Message]) -> Rendering:
    """A last message of the assistant is continued.

    Raises:
        InvalidRequestError: It cannot be.
    """
    last = messages[-1]
    if last.role != "assistant":
        return USUAL
    if last.tool_calls or not last.text:
        lack = "has tool_use blocks" if last.tool_calls else "has no text"
        raise InvalidRequestError(
            f"messages: the last one is of the assistant and {lack}, so there is nothing to "
            "continue; end with a message of the user",
            param="messages",
        )
    return _CONTINUED


def _tool(given: ToolParam, at: str) -> Tool:
    if given.type not in (None, "custom"):
        raise InvalidRequestError(
            f"{at}.type: {given.type!r:.60} is a tool that only Anthropic's models and servers "
            "know; give a tool with an input_schema",
            param=f"{at}.type",
        )
    if given.input_schema is None:
        raise InvalidRequestError(
            f"{at}.input_schema is missing: a JSON Schema of the tool's input",
            param=f"{at}.input_schema",
        )
    return Tool(
        function=FunctionSchema(
            name=given.name,
            description=given.description,
            parameters=given.input_schema,
            strict=given.strict,
        )
    )


def _tool_choice(body: CountTokensRequest) -> ToolChoice:
    given = body.tool_choice
    if given is None:
        return ToolChoice(mode="auto" if body.tools else "none")
    if given.type == "tool" and given.name is None:
        raise InvalidRequestError(
            "tool_choice.name is missing: the tool that the model must call",
            param="tool_choice.name",
        )
    is_parallel = not given.disable_parallel_tool_use
    match given.type:
        case "tool":
            return ToolChoice(
                mode="required",
                names=(given.name or "",),
                is_parallel=given.disable_parallel_tool_use is False,  # a named tool is called once
                param="tool_choice.name",
            )
        case "any":
            return ToolChoice(mode="required", is_parallel=is_parallel)
        case "auto" | "none":
            return ToolChoice(mode=given.type, is_parallel=is_parallel)


def _response_format(body: CountTokensRequest) -> ResponseFormat | None:
    """The format of the text, in the field that it has now or in the one it had."""
    given: list[tuple[str, FormatParam | None]] = [
        ("output_config.format", body.output_config and body.output_config.format),
        ("output_format", body.output_format),
    ]
    formats = [(name, value) for name, value in given if value]
    if len(formats) > 1:
        raise InvalidRequestError(
            "output_config.format and output_format are the same; leave out output_format",
            param="output_format",
        )
    if not formats:
        return None
    schema = JsonSchemaFormat(name="output", schema=formats[0][1].schema, strict=True)
    return ResponseFormat(type="json_schema", json_schema=schema)


def _reasoning(body: CountTokensRequest, served: ServedModel) -> ReasoningChoice:
    """How much the model reasons. A model that cannot is not asked to: clients always ask."""
    thinking, config = body.thinking, body.output_config
    known = served.chat.options
    can_reason = served.chat.can_reason or any(name in known for name in SWITCHES)
    is_on = {"enabled": True, "disabled": False}.get(thinking.type) if thinking else None
    effort = config.effort if config and "reasoning_effort" in known else None
    return ReasoningChoice(
        effort=effort,
        is_on=None if is_on and not can_reason else is_on,
        max_tokens=thinking.budget_tokens if thinking and is_on else None,
        param="thinking",
    )
