"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

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
    answer = ChatAnswer(generation, body.model)
    updates = context.engine.generate(generation)
    if not body.stream:
        end = await unless_disconnected(request, completed(updates))
        return Response(msgspec.json.encode(answer.completion(end)), media_type="application/json")
    running = await unless_disconnected(request, begun(updates))
    usage = bool(body.stream_options and body.stream_options.include_usage)
    return sse.event_stream(_events(running, ChatChunks(answer, include_usage=usage)))


async def _events(updates: AsyncGenerator[Update], chunks: ChatChunks) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them: the status has been sent already."""
    async with aclosing(updates):
        async for update in updates:
            if isinstance(update, Failed):
                yield sse.event(error_body(update.error))
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
    return GenerationRequest(
        request_id=new_request_id(),
        prompt_ids=tuple(prompt_ids),
        max_tokens=_budget(body, model, len(prompt_ids)),
        sampling=_sampling(body),
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        mods=mods,
        conversation=Conversation(
            messages=tuple(body.messages),
            schemas=Schemas(tools=tools, response_format=body.response_format),
        ),
        stream=bool(body.stream),
        include_retractions=bool(body.stream_options and body.stream_options.include_retractions),
    )


def _chosen(body: ChatCompletionRequest) -> list[NamedMod]:
    return [
        NamedMod(name=choice.name, params=choice.params, where=f"mods[{i}]")
        for i, choice in enumerate(body.mods)
    ]


def _budget(body: ChatCompletionRequest, model: ModelInfo, prompt_len: int) -> int:
    """How many tokens the completion may have: what was asked for, as far as there is room."""
    room = model.context_length - prompt_len
    if room < 1:
        raise ContextLengthError(
            f"this model's context is {model.context_length} tokens, and the messages alone are "
            f"{prompt_len}; shorten them",
            param="messages",
        )
    return min(body.max_completion_tokens or body.max_tokens or room, room)


def _sampling(body: ChatCompletionRequest) -> SamplingParams:
    """The request's sampling parameters; a field that is null has its default."""
    names = ("temperature", "top_p", "top_k", "min_p", "seed")
    given = {name: getattr(body, name) for name in names}
    return SamplingParams(**{name: value for name, value in given.items() if value is not None})
