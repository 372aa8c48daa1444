"""From the body of a chat request to what is asked of the engine.

All of this takes time with the size of the request, so that it runs on a worker thread.
"""

import re
from collections.abc import Mapping

from concordance_shared import (
    ContextLengthError,
    Conversation,
    InvalidRequestError,
    Message,
    ResponseFormat,
    Schemas,
)
from msgspec import Raw, Struct
from msgspec.json import decode

from concordance_inference.generation import (
    GenerationRequest,
    ModelInfo,
    SamplingParams,
    new_request_id,
)
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server.body import decode_body
from concordance_inference.server.context import ServerContext
from concordance_inference.server.envelope import check_depth, check_fields, decode_message
from concordance_inference.server.model_name import parse_model
from concordance_inference.server.schemas import MAX_MODS, ChatCompletionRequest, ChatMessage

#: The longest arguments of a tool call, in characters.
_MAX_ARGUMENTS = 128 * 1024

_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}")


class ChatRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A chat request, read and checked."""

    body: ChatCompletionRequest
    generation: GenerationRequest


def chat_request(raw: bytes, context: ServerContext) -> ChatRequest:
    """Read a chat request and make of it what is asked of the engine.

    Args:
        raw: The body.
        context: What the server serves.

    Raises:
        ConcordanceError: The request asks for what is not there, or for what cannot be.
    """
    body = decode_body(check_fields(raw), ChatCompletionRequest)
    messages = tuple(
        _checked(decode_message(message, f"messages[{i}]"), f"messages[{i}]")
        for i, message in enumerate(body.messages)
    )
    return ChatRequest(body=body, generation=_generation(body, messages, context))


def _generation(
    body: ChatCompletionRequest, messages: tuple[Message, ...], context: ServerContext
) -> GenerationRequest:
    model = context.engine.model
    named = _named_mods(body, model.id)
    response_format = _response_format(body, has_mods=bool(named))
    mods = context.mods.resolve(named)
    tools = tuple(body.tools or ())
    if tools and not mods:
        raise InvalidRequestError(
            "calls of tools are not read from this model's answers yet; leave `tools` out, or "
            "name a mod that uses them",
            param="tools",
        )
    return GenerationRequest(
        request_id=new_request_id(),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        sampling=_sampling(body, model.vocab_size),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        mods=mods,
        conversation=Conversation(
            messages=messages, schemas=Schemas(tools=tools, response_format=response_format)
        ),
        stream=bool(body.stream),
        include_retractions=bool(body.stream_options and body.stream_options.include_retractions),
        top_logprobs=_top_logprobs(body),
        cache_salt=body.cache_salt or "",
        prompt_ids=_prompt_ids(body, messages, context),  # the most work comes last
    )


def _prompt_ids(
    body: ChatCompletionRequest, messages: tuple[Message, ...], context: ServerContext
) -> tuple[int, ...]:
    options = _template_options(body, context)
    prompt_ids = context.chat.render(messages, tuple(body.tools or ()), options)
    _check_room(context.engine.model, len(prompt_ids))
    return tuple(prompt_ids)


def _checked(message: ChatMessage, at: str) -> Message:
    """A message of which everything is understood.

    Raises:
        InvalidRequestError: It has a part that is not text, or arguments that are no JSON to read.
    """
    if isinstance(message.content, tuple):
        for j, part in enumerate(message.content):
            if part.type != "text" or part.text is None:
                raise InvalidRequestError(
                    f"{at}.content[{j}] is of type {part.type!r:.40}; this model reads text only",
                    param=f"{at}.content[{j}].type",
                )
    for j, call in enumerate(message.tool_calls or ()):
        _check_arguments(call.function.arguments, f"{at}.tool_calls[{j}].function.arguments")
    return message.plain


def _check_arguments(arguments: str, at: str) -> None:
    """Refuse what a template would have to recurse into; text that is no JSON passes as text."""
    if len(arguments) > _MAX_ARGUMENTS:
        raise InvalidRequestError(
            f"{at} has {len(arguments)} characters, and may have {_MAX_ARGUMENTS} at most", param=at
        )
    try:
        decode(arguments, type=Raw)
    except RecursionError as exc:
        raise InvalidRequestError(f"{at} is nested too deeply", param=at) from exc
    except ValueError:
        return
    check_depth(at, arguments.encode())


def _named_mods(body: ChatCompletionRequest, served: str) -> list[NamedMod]:
    """The mods of the model's name, then those of the list."""
    chosen = [
        NamedMod(name=choice.name, params=choice.params or {}, where=f"mods[{i}]")
        for i, choice in enumerate(body.mods or ())
    ]
    named = [*parse_model(body.model, served), *chosen]
    if len(named) > MAX_MODS:
        raise InvalidRequestError(
            f"model and mods name {len(named)} mods, and may name {MAX_MODS} at most", param="mods"
        )
    return named


def _response_format(body: ChatCompletionRequest, *, has_mods: bool) -> ResponseFormat | None:
    """The form that is asked for. Its schema is compiled when the mods get ready.

    Raises:
        InvalidRequestError: No mod enforces it.
    """
    if body.response_format is None:
        return None
    response_format = body.response_format.plain
    if response_format.type != "text" and not has_mods:
        raise InvalidRequestError(
            "response_format is not enforced by this server itself; name a mod that does, or "
            "leave it out",
            param="response_format.type",
        )
    return response_format


def _template_options(body: ChatCompletionRequest, context: ServerContext) -> dict[str, object]:
    """What is chosen about the prompt.

    Raises:
        InvalidRequestError: The model's template does not read one of them.
    """
    given: dict[str, object] = dict(body.chat_template_kwargs or {})
    for name in given:
        _check_option(name, f"chat_template_kwargs.{name:.80}", context)
    if body.reasoning_effort is not None:
        _check_option("reasoning_effort", "reasoning_effort", context)
        given["reasoning_effort"] = body.reasoning_effort
    return given


def _check_option(name: str, param: str, context: ServerContext) -> None:
    known = context.chat.options
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise InvalidRequestError(
            f"{param}: this model's chat template reads no variable of this name; it reads: "
            f"{listed}",
            param=param,
        )


def _check_room(model: ModelInfo, prompt_len: int) -> None:
    """Refuse a prompt behind which nothing fits, and one of nothing."""
    if not prompt_len:
        raise InvalidRequestError(
            "messages: the model's chat template renders them to no tokens", param="messages"
        )
    if prompt_len >= model.context_length:
        raise ContextLengthError(
            f"this model's context is {model.context_length} tokens, and the messages alone are "
            f"{prompt_len}; shorten them",
            param="messages",
        )


def _sampling(body: ChatCompletionRequest, vocab_size: int) -> SamplingParams:
    """The request's sampling parameters; a field that is null has its default."""
    names = [name for name in SamplingParams.__struct_fields__ if name != "logit_bias"]
    given = {name: getattr(body, name) for name in names}
    if given["top_k"] == -1:  # as vLLM spells "all"
        given["top_k"] = 0
    return SamplingParams(
        **{name: value for name, value in given.items() if value is not None},
        logit_bias=_logit_bias(body.logit_bias or {}, vocab_size),
    )


def _logit_bias(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    """The biases by token id; JSON has its keys as text."""
    for key in given:
        if not _TOKEN_ID.fullmatch(key) or int(key) >= vocab_size:
            raise InvalidRequestError(
                f"logit_bias: {key[:40]!r} is not the id of one of this model's {vocab_size} "
                "tokens",
                param="logit_bias",
            )
    return {int(key): bias for key, bias in given.items()}


def _top_logprobs(body: ChatCompletionRequest) -> int | None:
    """How many alternatives to each token are wanted; `None` if not even its own probability."""
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("top_logprobs needs logprobs=true", param="top_logprobs")
    if body.logprobs and body.stream_options and body.stream_options.include_retractions:
        raise InvalidRequestError(
            "logprobs cannot be told of a stream with stream_options.include_retractions; leave "
            "one of them out",
            param="logprobs",
        )
    return (body.top_logprobs or 0) if body.logprobs else None
