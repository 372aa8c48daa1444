"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import Completed, Failed, Update
from concordance_inference.server import sse
from concordance_inference.server.body import read_raw
from concordance_inference.server.chat_request import ChatRequest, chat_request
from concordance_inference.server.chat_response import ChatChunks, ChatResponse
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.disconnect import unless_disconnected
from concordance_inference.server.errors import error_body
from concordance_inference.server.mod_failures import log_failure
from concordance_inference.server.updates import begun, completed

#: The largest body, in bytes.
MAX_BODY = 4 * 1024 * 1024

#: The most logprobs of one chunk that are encoded on the event loop.
_FEW_LOGPROBS = 256


async def chat_completions(request: Request) -> Response:
    """Complete a conversation, as one response or as a stream."""
    context = context_of(request)
    chat = await _read(request, context)
    response = ChatResponse(chat.generation, chat.body.model, context.chat.token_bytes)
    updates = context.engine.generate(chat.generation)
    if not chat.body.stream:
        end = await unless_disconnected(request, completed(updates))
        data = await context.workers.encode(lambda: msgspec.json.encode(response.completion(end)))
        return Response(data, media_type="application/json")
    running = await unless_disconnected(request, begun(updates))
    chunks = ChatChunks(response, include_usage=chat.includes_usage)
    return sse.event_stream(_events(running, chunks, context, chat.generation.request_id))


async def _read(request: Request, context: ServerContext) -> ChatRequest:
    """Decode the request and prepare its mods, on worker threads."""
    raw = await read_raw(request, max_bytes=MAX_BODY)
    reading = context.workers.read(partial(chat_request, raw, context), num_bytes=len(raw))
    chat = await unless_disconnected(request, reading)
    request.state.request_id = chat.generation.request_id  # for `handle_ours`
    if not chat.generation.mods:
        return chat
    preparing = context.workers.prepare(partial(context.engine.prepare, chat.generation))
    generation = await unless_disconnected(request, preparing)
    return msgspec.structs.replace(chat, generation=generation)


async def _events(
    updates: AsyncGenerator[Update], chunks: ChatChunks, context: ServerContext, request_id: str
) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them, since the status was sent before."""
    async with aclosing(updates):
        async for update in updates:
            if isinstance(update, Failed):
                yield _failed(update, context, request_id)
                continue
            encode = partial(_encoded, chunks, update)
            for event in await context.workers.encode(encode) if is_large(update) else encode():
                yield event
    yield sse.DONE


def _failed(update: Failed, context: ServerContext, request_id: str) -> bytes:
    log_failure(update.error, request_id)
    return sse.event(
        error_body(update.error, request_id=request_id, sends_tracebacks=context.sends_tracebacks)
    )


def _encoded(chunks: ChatChunks, update: Update) -> list[bytes]:
    return [sse.event(chunk) for chunk in chunks.of(update)]


def is_large(update: Update) -> bool:
    """True if encoding an update would keep the event loop busy."""
    return isinstance(update, Completed) or len(getattr(update, "logprobs", ())) > _FEW_LOGPROBS
