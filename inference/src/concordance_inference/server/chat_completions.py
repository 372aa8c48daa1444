"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import partial

import msgspec
from concordance_shared import (
    ContextLengthError,
    Conversation,
    InvalidRequestError,
    Schemas,
)
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModelInfo,
    SamplingParams,
    Update,
    new_request_id,
)
from concordance_inference.mods.catalog import NamedMod
from concordance_inference.server import sse
from concordance_inference.server.body import read_body
from concordance_inference.server.chat_answer import ChatAnswer, ChatChunks
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.disconnect import unless_disconnected
from concordance_inference.server.errors import error_body
from concordance_inference.server.model_name import parse_model
from concordance_inference.server.schemas import ChatCompletionRequest, refuse_unsupported
from concordance_inference.server.updates import begun, completed

#: The largest body, in bytes.
MAX_BODY = 4 * 1024 * 1024


async def chat_completions(request: Request) -> Response:
    """Answer a conversation, at once or as a stream."""
    context = context_of(request)
    body = await read_body(request, ChatCompletionRequest, max_bytes=MAX_BODY)
    generation = to_generation_request(body, context)
    answer = ChatAnswer(generation, body.model, context.chat.token_bytes)
    updates = context.engine.generate(generation)
    if not body.stream:
        end = await unless_disconnected(request, completed(updates))
        context.chat.remember(generation.prompt_ids, end)
        return Response(msgspec.json.encode(answer.completion(end)), media_type="application/json")
    running = await unless_disconnected(request, begun(updates))
    usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = ChatChunks(answer, include_usage=usage)
    remember = partial(context.chat.remember, generation.prompt_ids)
    return sse.event_stream(_events(running, chunks, remember))


async def _events(
    updates: AsyncGenerator[Update], chunks: ChatChunks, remember: Callable[[Completed], None]
) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them: the status has been sent already."""
    async with aclosing(updates):
        async for update in updates:
            if isinstance(update, Failed):
                yield sse.event(error_body(update.error))
            if isinstance(update, Completed):
                remember(update)
            for chunk in chunks.of(update):
                yield sse.event(chunk)
    yield sse.DONE


def to_generation_request(body: ChatCompletionRequest, context: ServerContext) -> GenerationRequest:
    """What a request asks of the engine.

    Raises:
        RequestError: It asks for what is not there, or for what cannot be.
    """
    model = context.engine.model
    named = (*parse_model(body.model, model.id), *_chosen(body))
    refuse_unsupported(body, has_mods=bool(named))
    mods = context.mods.resolve(named)
    tools = tuple(body.tools or ())
    if tools and not mods:
        raise InvalidRequestError(
            "calls of tools are not read from this model's answers yet; leave `tools` out, or "
            "name a mod that uses them",
            param="tools",
        )
    prompt_ids = context.chat.render(body.messages, tools)
    _check_room(model, len(prompt_ids))
    return GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        max_tokens=body.max_completion_tokens or body.max_tokens,
        sampling=_sampling(body, model.vocab_size),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        mods=mods,
        conversation=Conversation(
            messages=tuple(body.messages),
            schemas=Schemas(tools=tools, response_format=body.response_format),
        ),
        stream=bool(body.stream),
        include_retractions=bool(body.stream_options and body.stream_options.include_retractions),
        top_logprobs=_top_logprobs(body),
    )


def _chosen(body: ChatCompletionRequest) -> list[NamedMod]:
    return [
        NamedMod(name=choice.name, params=choice.params, where=f"mods[{i}]")
        for i, choice in enumerate(body.mods)
    ]


def _check_room(model: ModelInfo, prompt_len: int) -> None:
    """Refuse a prompt behind which nothing fits."""
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
    return SamplingParams(
        **{name: value for name, value in given.items() if value is not None},
        logit_bias=_logit_bias(body.logit_bias or {}, vocab_size),
    )


def _logit_bias(given: Mapping[str, float], vocab_size: int) -> dict[int, float]:
    """The biases by token id; JSON has its keys as text."""
    for key in given:
        if not key.isdecimal() or int(key) >= vocab_size:
            raise InvalidRequestError(
                f"logit_bias: {key!r:.40} is not the id of one of this model's {vocab_size} tokens",
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
