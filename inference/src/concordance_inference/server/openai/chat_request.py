"""Turns the body of a chat request into a request for the engine.

The work grows with the size of the body, so it runs on a background thread.
"""

from collections.abc import Sequence
from typing import Any

from concordance_shared import InvalidRequestError, Message, Schemas
from msgspec import Raw, Struct
from msgspec.json import decode

from concordance_inference.chat.rendering import rendering_of
from concordance_inference.chat.request import build_request
from concordance_inference.generation import GenerationRequest
from concordance_inference.server.branches.branch_from import begins_elsewhere, generation_from
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.envelope import check_depth, check_fields, decode_message
from concordance_inference.server.openai.generation_fields import (
    decode_request,
    generation_options,
    refuse_retractions,
    required_list,
)
from concordance_inference.server.openai.output_fields import output_format
from concordance_inference.server.openai.prompt_logprobs import check_sampled_logprobs
from concordance_inference.server.openai.reasoning_fields import reasoning_choice
from concordance_inference.server.openai.schemas import (
    ChatCompletionRequest,
    ChatMessage,
    ChatPart,
)
from concordance_inference.server.served_models import ServedModel
from concordance_inference.tools.choice import tool_choice
from concordance_inference.tools.offer import ToolChoice

#: The longest arguments of a tool call, in characters.
_MAX_ARGUMENTS = 128 * 1024


class ChatRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A chat request, decoded and checked."""

    body: ChatCompletionRequest
    served: ServedModel
    generation: GenerationRequest

    @property
    def includes_usage(self) -> bool:
        """True if a stream ends with the usage."""
        options = self.body.stream_options
        return bool(options and options.include_usage)


def chat_request(raw: bytes, context: ServerContext) -> ChatRequest:
    """Decode and check a body, and render its prompt.

    Raises:
        ConcordanceError: A field is wrong, or names a model or mod that is not there.
        ModelNotLoadedError: The model has to be loaded first.
    """
    body = decode_request(check_fields(raw), ChatCompletionRequest)
    if begins_elsewhere(body):
        served = context.models.named(body.model)
        generation = _resumed(body, served, context)
        return ChatRequest(body=body, served=served, generation=generation)
    messages = decode_messages(required_list(body.messages, "messages"))
    served = context.models.named(body.model)
    generation = _generation(body, messages, served, context)
    return ChatRequest(body=body, served=served, generation=generation)


def decode_messages(messages: Sequence[Raw]) -> tuple[Message, ...]:
    """Decode and check messages.

    Raises:
        InvalidRequestError: One is wrong; `param` names its field.
    """
    return tuple(
        _checked(decode_message(message, f"messages[{i}]"), f"messages[{i}]")
        for i, message in enumerate(messages)
    )


def _resumed(
    body: ChatCompletionRequest, served: ServedModel, context: ServerContext
) -> GenerationRequest:
    check_sampled_logprobs(asked=body.sampled_logprobs, has_logprobs=bool(body.logprobs))
    return generation_from(
        body,
        served,
        context,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        top_logprobs=_top_logprobs(body),
        sampled_logprobs=bool(body.sampled_logprobs),
    )


def _generation(
    body: ChatCompletionRequest,
    messages: tuple[Message, ...],
    served: ServedModel,
    context: ServerContext,
) -> GenerationRequest:
    response_format = body.response_format and body.response_format.plain
    options = generation_options(body, served, context)
    options["max_tokens"] = body.max_completion_tokens or body.max_tokens
    options["top_logprobs"] = _top_logprobs(body)
    check_sampled_logprobs(asked=body.sampled_logprobs, has_logprobs=bool(body.logprobs))
    options["sampled_logprobs"] = bool(body.sampled_logprobs)
    options["prompt_logprobs"] = body.prompt_logprobs
    return build_request(
        messages,
        served.chat,
        served.info,
        schemas=Schemas(tools=tuple(body.tools or ()), response_format=response_format),
        output=output_format(body, response_format),
        tool_choice=_tool_choice(body),
        hosted_tools=body.hosted_tools,
        template_options=_template_options(body, served),
        rendering=rendering_of(body),
        reasoning=reasoning_choice(body),
        truncation=body.truncation or context.truncation,
        **options,
    )


def _template_options(body: ChatCompletionRequest, served: ServedModel) -> dict[str, Any]:
    """The variables of the chat template, with the verbosity if the template reads it."""
    given = body.chat_template_kwargs or {}
    if body.verbosity is None or "verbosity" not in served.chat.options:
        return given
    return {"verbosity": body.verbosity, **given}


def _tool_choice(body: ChatCompletionRequest) -> ToolChoice:
    if body.tools:
        refuse_retractions(body, "tools")
    return tool_choice(
        body.tool_choice, has_tools=bool(body.tools), parallel=body.parallel_tool_calls
    )


def _checked(message: ChatMessage, at: str) -> Message:
    """A message that has text and tool calls only.

    Raises:
        InvalidRequestError: It has a part that is not text, or arguments nested too deeply.
    """
    if isinstance(message.content, tuple):
        for j, part in enumerate(message.content):
            _check_part(part, message.role, f"{at}.content[{j}]")
    if message.refusal and (message.role != "assistant" or message.content):
        raise InvalidRequestError(
            f"{at}.refusal is the text of the assistant in place of content; leave one of them out",
            param=f"{at}.refusal",
        )
    plain = message.plain
    for j, call in enumerate(plain.tool_calls or ()):
        check_arguments(call.function.arguments, f"{at}.tool_calls[{j}].function.arguments")
    return plain


def _check_part(part: ChatPart, role: str, at: str) -> None:
    """Refuse a part that is not text, or has none."""
    is_refusal = part.type == "refusal" and role == "assistant"
    if part.type != "text" and not is_refusal:
        raise InvalidRequestError(
            f"{at} is of type {part.type!r:.40}; this model takes text only", param=f"{at}.type"
        )
    if part.plain.text is None:
        raise InvalidRequestError(
            f"{at}.{part.type} is missing: a part of type {part.type!r} needs it",
            param=f"{at}.{part.type}",
        )


def check_arguments(arguments: str, at: str) -> None:
    """Refuse the arguments of a call that a template cannot render; invalid JSON passes as text.

    Raises:
        InvalidRequestError: They are too long, or nested too deeply; `param` names them.
    """
    if len(arguments) > _MAX_ARGUMENTS:
        raise InvalidRequestError(
            f"{at} has {len(arguments)} characters; the limit is {_MAX_ARGUMENTS}", param=at
        )
    try:
        decode(arguments, type=Raw)
    except RecursionError as exc:
        raise InvalidRequestError(f"{at} is nested too deeply", param=at) from exc
    except ValueError:
        return
    check_depth(at, arguments.encode())


def _top_logprobs(body: ChatCompletionRequest) -> int | None:
    """The number of alternatives to each token; `None` for no logprobs at all."""
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("top_logprobs needs logprobs=true", param="top_logprobs")
    if body.logprobs and not (body.stream_options and body.stream_options.include_tokens):
        refuse_retractions(body, "logprobs")
    return (body.top_logprobs or 0) if body.logprobs else None
