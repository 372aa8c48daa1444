"""Builds the engine's requests: the one place that turns a prompt and options into one.

Used by the server, the command line and the Python API, so that each refuses the same prompts.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack, cast

from concordance_shared import (
    Conversation,
    InvalidRequestError,
    Message,
    Schemas,
)
from concordance_shared.prompt_length import check_prompt_length
from concordance_shared.surrogates import surrogate_fault

from concordance_inference.chat.enforcement import enforced_request
from concordance_inference.chat.format import ChatFormat
from concordance_inference.chat.hosted_choice import hosted_of
from concordance_inference.chat.reasoning_choice import (
    FREE,
    ReasoningChoice,
    template_variables,
)
from concordance_inference.chat.rendering import FIELDS as RENDERING_FIELDS
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.chat.truncation import Truncation, room_for_prompt, shortened
from concordance_inference.generation import (
    GenerationRequest,
    ModCall,
    ModelInfo,
    SamplingParams,
    new_request_id,
)
from concordance_inference.loop_detection import LoopDetection, chosen
from concordance_inference.output_format import OutputFormat, format_of
from concordance_inference.tools.offer import AUTO, ToolChoice, tool_offer
from concordance_inference.traces.schema import Level

#: Messages are rendered by the chat template; text and token ids are continued as they are.
Prompt = str | Sequence[int] | Sequence[Message]


class RequestOptions(TypedDict, total=False):
    """The fields of a `GenerationRequest` that a caller may choose."""

    max_tokens: int | None
    sampling: SamplingParams
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    ignore_eos: bool
    min_tokens: int
    mods: tuple[ModCall, ...]
    stream: bool
    include_retractions: bool
    show_tokens: bool
    show_progress: bool
    return_token_ids: bool
    prompt_logprobs: int | None
    top_logprobs: int | None
    sampled_logprobs: bool
    loop_detection: LoopDetection
    truncate_thinking: int | None
    truncate_response: int | None
    cache_salt: str
    trace: Level | None


def build_request(  # noqa: PLR0913  # the parts of a request
    prompt: Prompt,
    chat: ChatFormat,
    model: ModelInfo,
    *,
    schemas: Schemas | None = None,
    template_options: Mapping[str, Any] | None = None,
    rendering: Rendering = USUAL,
    output: OutputFormat | None = None,
    reasoning: ReasoningChoice = FREE,
    tool_choice: ToolChoice = AUTO,
    truncation: Truncation = "disabled",
    hosted_tools: Sequence[str] | None = None,
    **options: Unpack[RequestOptions],
) -> GenerationRequest:
    """Check the options, render the prompt, and make a request.

    Args:
        prompt: Messages, text, or token ids.
        chat: Renders messages and encodes text.
        model: The model that will run the request.
        schemas: Tools, and the response format, which is enforced.
        template_options: Variables of the chat template.
        rendering: How it ends the prompt, and what may be control tokens in messages.
        output: A format that is not a response format, enforced in its place.
        reasoning: How much the model reasons.
        tool_choice: How the model may call the tools.
        truncation: `auto`: the oldest turns are left out where the messages do not fit.
        hosted_tools: The tools that the server runs for the model; `None` for all that it has.
        options: The request's other fields.

    Raises:
        InvalidRequestError: An option does not fit the model, or the prompt is empty.
        ContextLengthError: The prompt leaves no room for a completion.
    """
    schemas = schemas or Schemas()
    _check_options(options, template_options or {}, schemas, chat, model)
    is_chat = _is_chat(prompt)
    _check_prompt_kind(rendering, reasoning, is_chat=is_chat)
    offer = tool_offer(schemas.tools, tool_choice, chat.tool_format)
    hosted = hosted_of(hosted_tools, chat.hosted_tools, offer, options)
    # Rendering comes last: it takes far longer than the checks.
    messages: tuple[Message, ...] = ()
    if is_chat:
        messages = _checked_messages(cast(Sequence[Message], prompt))
        variables = template_variables(
            reasoning, template_options or {}, chat.options, can_reason=chat.can_reason
        )
        render = partial(
            chat.render,
            tools=() if offer is None else schemas.tools,
            options=variables,
            rendering=rendering,
            response_format=schemas.response_format,
            hosted=hosted,
        )
        messages, prompt_ids = _rendered(
            messages, render, chat, model, options.get("max_tokens"), truncation
        )
    else:
        prompt_ids = _encoded(cast(str | Sequence[int], prompt), chat)
    _check_length(prompt_ids, model, is_rendered=is_chat)
    request = GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        conversation=Conversation(messages=messages, schemas=schemas),
        truncated_messages=len(prompt) - len(messages) if messages else 0,
        offer=offer if is_chat else None,
        stops_in_content=is_chat,
        num_named_mods=len(options.get("mods", ())),
        **options,
    )
    return enforced_request(
        request,
        chat,
        output or format_of(schemas.response_format),
        reasoning,
        hosted,
        continues=rendering.continues_final_message,
    )


def _check_options(
    options: RequestOptions,
    template_options: Mapping[str, Any],
    schemas: Schemas,
    chat: ChatFormat,
    model: ModelInfo,
) -> None:
    """Refuse options that do not fit the model, and set those that depend on others."""
    check_logit_bias(options.get("sampling", SamplingParams()).logit_bias, model.vocab_size)
    check_ends(options, model.vocab_size)
    for name in template_options:
        check_template_option(name, f"chat_template_kwargs.{name:.80}", chat.options)
    _check_unicode(template_options, "chat_template_kwargs")
    _check_unicode(schemas.tools, "tools")
    _check_unicode(schemas.response_format, "response_format")
    options.setdefault("loop_detection", chosen(None, ignores_eos=options.get("ignore_eos", False)))


def _check_prompt_kind(rendering: Rendering, reasoning: ReasoningChoice, *, is_chat: bool) -> None:
    """Refuse what only messages have, for a prompt of another kind."""
    if rendering != USUAL and not is_chat:
        raise InvalidRequestError(
            f"{', '.join(RENDERING_FIELDS)}: they belong to messages, which a chat template "
            "renders; a text or token ids are continued as they are",
            param="prompt",
        )
    if reasoning.effort is not None and not is_chat:
        raise InvalidRequestError(
            f"{reasoning.param}: the chat template reads it, and a text or token ids are continued "
            "as they are; leave it out, or give messages",
            param=reasoning.param,
        )


def _checked_messages(messages: Sequence[Message]) -> tuple[Message, ...]:
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")
    return tuple(messages)


def _rendered(
    messages: tuple[Message, ...],
    render: Callable[[Sequence[Message]], list[int]],
    chat: ChatFormat,
    model: ModelInfo,
    max_tokens: int | None,
    truncation: Truncation,
) -> tuple[tuple[Message, ...], list[int]]:
    """The messages that fit into the context, and their prompt."""
    if truncation != "auto":
        return messages, render(messages)
    room = room_for_prompt(model.context_length, max_tokens)
    return shortened(messages, render, chat.count, room)


def _encoded(prompt: str | Sequence[int], chat: ChatFormat) -> Sequence[int]:
    if not isinstance(prompt, str):
        return prompt
    _check_unicode(prompt, "prompt")
    return chat.encode(prompt)


def _is_chat(prompt: Prompt) -> bool:
    return bool(prompt) and isinstance(prompt[0], Message)


def check_logit_bias(token_ids: Collection[int | str], vocab_size: int) -> None:
    """Refuse a bias of a token that the model does not have.

    Raises:
        InvalidRequestError: One is not the id of a token.
    """
    for token_id in token_ids:
        if not (isinstance(token_id, int) and 0 <= token_id < vocab_size):
            raise InvalidRequestError(
                f"logit_bias: {str(token_id)[:40]!r} is not the id of one of this model's "
                f"{vocab_size} tokens",
                param="logit_bias",
            )


def check_ends(options: RequestOptions, vocab_size: int) -> None:
    """Refuse stop tokens that the model does not have, and a minimum above the maximum.

    Raises:
        InvalidRequestError: `param` names the field.
    """
    for i, token_id in enumerate(options.get("stop_token_ids", ())):
        if not 0 <= token_id < vocab_size:
            raise InvalidRequestError(
                f"stop_token_ids[{i}]: {token_id} is not the id of one of this model's "
                f"{vocab_size} tokens",
                param=f"stop_token_ids[{i}]",
            )
    min_tokens, max_tokens = options.get("min_tokens", 0), options.get("max_tokens")
    if max_tokens is not None and min_tokens > max_tokens:
        raise InvalidRequestError(
            f"min_tokens is {min_tokens}, more than max_tokens, which is {max_tokens}; "
            f"lower it to at most {max_tokens}",
            param="min_tokens",
        )


def check_template_option(name: str, param: str, known: Collection[str]) -> None:
    """Refuse a variable that the chat template does not read.

    Args:
        name: The variable.
        param: The field of the request that sets it, for the message.
        known: The variables that the template reads.

    Raises:
        InvalidRequestError: The template does not read it.
    """
    if name not in known:
        raise InvalidRequestError(
            f"{param}: this model's chat template reads no variable of this name; it reads: "
            f"{', '.join(sorted(known)) or 'none'}",
            param=param,
        )


def _check_unicode(value: object, param: str) -> None:
    """Refuse a text with half of a surrogate pair: tokenizers take UTF-8."""
    if fault := surrogate_fault(value):
        raise InvalidRequestError(f"{param}: {fault}", param=param)


def _check_message(message: Message, at: str) -> None:
    if surrogate_fault(message):
        for name in message.__struct_fields__:
            _check_unicode(getattr(message, name), f"{at}.{name}")


def _check_length(prompt_ids: Sequence[int], model: ModelInfo, *, is_rendered: bool) -> None:
    if not prompt_ids:
        raise InvalidRequestError(
            "messages: the model's chat template renders them to no tokens"
            if is_rendered
            else "prompt: it is empty, and the model needs at least one token to continue from",
            param="messages" if is_rendered else "prompt",
        )
    param = "messages" if is_rendered else "prompt"
    remedy = "shorten them" if is_rendered else "shorten it"
    check_prompt_length(len(prompt_ids), model.context_length, param=param, remedy=remedy)
