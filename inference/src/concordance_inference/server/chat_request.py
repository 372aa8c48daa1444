"""Turns the body of a chat request into a request for the engine.

The work grows with the size of the body, so it runs on a worker thread.
"""

import re
from collections.abc import Collection, Mapping, Sequence

from concordance_shared import (
    InvalidRequestError,
    Message,
    Schemas,
)
from msgspec import Raw, Struct
from msgspec.json import decode

from concordance_inference.chat.rendering import rendering_of
from concordance_inference.chat.request import (
    build_request,
    check_logit_bias,
    check_template_option,
)
from concordance_inference.generation import GenerationRequest, ModelInfo, SamplingParams
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server.body import decode_body
from concordance_inference.server.context import ServerContext
from concordance_inference.server.envelope import check_depth, check_fields, decode_message
from concordance_inference.server.model_name import parse_model
from concordance_inference.server.output_fields import output_format
from concordance_inference.server.schemas import MAX_MODS, ChatCompletionRequest, ChatMessage

#: The longest arguments of a tool call, in characters.
_MAX_ARGUMENTS = 128 * 1024

_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}")


class ChatRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A chat request, decoded and checked."""

    body: ChatCompletionRequest
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
    """
    body = _decoded(check_fields(raw))
    messages = decode_messages(body.messages)
    return ChatRequest(body=body, generation=_generation(body, messages, context))


def decode_messages(messages: Sequence[Raw]) -> tuple[Message, ...]:
    """Decode and check messages.

    Raises:
        InvalidRequestError: One is wrong; `param` names its field.
    """
    return tuple(
        _checked(decode_message(message, f"messages[{i}]"), f"messages[{i}]")
        for i, message in enumerate(messages)
    )


def _decoded(raw: bytes) -> ChatCompletionRequest:
    try:
        return decode_body(raw, ChatCompletionRequest)
    except InvalidRequestError as exc:
        if not (exc.param or "").startswith("mods") or ".params" in (exc.param or ""):
            raise
        raise InvalidRequestError(
            f'{exc.message}; write mods as ["name"], or with parameters as '
            '[{"name": "name", "params": {"parameter": 1}}]',
            param=exc.param,
        ) from exc


def _generation(
    body: ChatCompletionRequest, messages: tuple[Message, ...], context: ServerContext
) -> GenerationRequest:
    model = context.engine.model
    response_format = body.response_format and body.response_format.plain
    return build_request(
        messages,
        context.chat,
        model,
        schemas=Schemas(tools=tuple(body.tools or ()), response_format=response_format),
        output=output_format(body, response_format),
        template_options=_template_options(body, context.chat.options),
        rendering=rendering_of(body),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        sampling=_sampling(body, model),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        stop_token_ids=tuple(body.stop_token_ids or ()),
        ignore_eos=bool(body.ignore_eos),
        min_tokens=body.min_tokens or 0,
        mods=context.mods.resolve(_named_mods(body, model.id)),
        stream=bool(body.stream),
        include_retractions=bool(body.stream_options and body.stream_options.include_retractions),
        show_tokens=_shows_tokens(body),
        return_token_ids=_returns_token_ids(body),
        top_logprobs=_top_logprobs(body),
        cache_salt=body.cache_salt or "",
    )


def _checked(message: ChatMessage, at: str) -> Message:
    """A message that has text and tool calls only.

    Raises:
        InvalidRequestError: It has a part that is not text, or arguments nested too deeply.
    """
    if isinstance(message.content, tuple):
        for j, part in enumerate(message.content):
            if part.type != "text" or part.text is None:
                raise InvalidRequestError(
                    f"{at}.content[{j}] is of type {part.type!r:.40}; this model takes text only",
                    param=f"{at}.content[{j}].type",
                )
    plain = message.plain
    for j, call in enumerate(plain.tool_calls or ()):
        _check_arguments(call.function.arguments, f"{at}.tool_calls[{j}].function.arguments")
    return plain


def _check_arguments(arguments: str, at: str) -> None:
    """Refuse arguments nested too deeply for a template; invalid JSON passes as text."""
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


def _named_mods(body: ChatCompletionRequest, served: str) -> list[NamedMod]:
    """The mods in `model`, then those in `mods`."""
    chosen = [
        NamedMod(name=choice, where=f"mods[{i}]")
        if isinstance(choice, str)
        else NamedMod(name=choice.name, params=choice.params or {}, where=f"mods[{i}]")
        for i, choice in enumerate(body.mods or ())
    ]
    named = [*parse_model(body.model, served), *chosen]
    if len(named) > MAX_MODS:
        raise InvalidRequestError(
            f"model and mods name {len(named)} mods; the limit is {MAX_MODS}", param="mods"
        )
    return named


def _template_options(body: ChatCompletionRequest, known: Collection[str]) -> dict[str, object]:
    """The variables of the chat template that the request sets."""
    given: dict[str, object] = dict(body.chat_template_kwargs or {})
    if body.reasoning_effort is not None:
        check_template_option("reasoning_effort", "reasoning_effort", known)
        given["reasoning_effort"] = body.reasoning_effort
    return given


def _sampling(body: ChatCompletionRequest, model: ModelInfo) -> SamplingParams:
    """The request's sampling parameters; a field that is null has its default."""
    given = {name: getattr(body, name) for name in SamplingParams.__struct_fields__}
    if given["top_k"] == -1:  # as vLLM spells "all"
        given["top_k"] = 0
    given["logit_bias"] = _logit_bias(body.logit_bias or {}, model.vocab_size)
    return model.sampling.params(given)


def _logit_bias(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    """The biases by token id; JSON has them by text."""
    check_logit_bias([int(key) if _TOKEN_ID.fullmatch(key) else key for key in given], vocab_size)
    return {int(key): bias for key, bias in given.items()}


def _shows_tokens(body: ChatCompletionRequest) -> bool:
    return bool(body.stream and body.stream_options and body.stream_options.include_tokens)


def _returns_token_ids(body: ChatCompletionRequest) -> bool:
    options = body.stream_options
    if body.return_token_ids and options and options.include_retractions:
        raise InvalidRequestError(
            "return_token_ids is not available in a stream with "
            "stream_options.include_retractions; leave one of them out",
            param="return_token_ids",
        )
    return bool(body.return_token_ids)


def _top_logprobs(body: ChatCompletionRequest) -> int | None:
    """The number of alternatives to each token; `None` for no logprobs at all."""
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("top_logprobs needs logprobs=true", param="top_logprobs")
    if body.logprobs and body.stream_options and body.stream_options.include_retractions:
        raise InvalidRequestError(
            "logprobs are not available in a stream with stream_options.include_retractions; "
            "leave one of them out",
            param="logprobs",
        )
    return (body.top_logprobs or 0) if body.logprobs else None
