"""`POST /v1/chat/completions`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import Completed, Failed, Update
from concordance_inference.server import sse
from concordance_inference.server.body import read_raw
from concordance_inference.server.chat_answer import ChatAnswer, ChatChunks
from concordance_inference.server.chat_request import chat_request
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.disconnect import unless_disconnected
from concordance_inference.server.errors import error_body
from concordance_inference.server.updates import begun, completed
from concordance_inference.server.work import Workers, workers_of

Encoded = TypeVar("Encoded", bytes, list[bytes])

#: The largest body, in bytes.
MAX_BODY = 4 * 1024 * 1024

#: The largest part of an answer that is encoded on the event loop, in tokens.
_FEW_TOKENS = 256


async def chat_completions(request: Request) -> Response:
    """Answer a conversation, at once or as a stream."""
    context, workers = context_of(request), workers_of(request)
    raw = await read_raw(request, max_bytes=MAX_BODY)
    asked = await unless_disconnected(
        request, workers.read(partial(chat_request, raw, context), num_bytes=len(raw))
    )
    body, generation = asked.body, asked.generation
    if generation.mods:
        ready = workers.get_ready(partial(context.engine.prepare, generation))
        generation = await unless_disconnected(request, ready)
    answer = ChatAnswer(generation, body.model, context.chat.token_bytes)
    updates = context.engine.generate(generation)
    end_of = _Ending(context, workers, generation.prompt_ids)
    if not body.stream:
        end = await unless_disconnected(request, completed(updates))
        data = await end_of(end, lambda: msgspec.json.encode(answer.completion(end)))
        return Response(data, media_type="application/json")
    running = await unless_disconnected(request, begun(updates))
    usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = ChatChunks(answer, include_usage=usage)
    return sse.event_stream(_events(running, chunks, end_of))


class _Ending:
    """Ends an answer off the event loop: remembers it, and encodes what is left of it."""

    def __init__(
        self, context: ServerContext, workers: Workers, prompt_ids: tuple[int, ...]
    ) -> None:
        self._context = context
        self._workers = workers
        self._prompt_ids = prompt_ids

    async def __call__(self, completed: Completed, encode: Callable[[], Encoded]) -> Encoded:
        """Encode the end of an answer and keep it for prompts that come back with it."""
        return await self._workers.end(partial(self._end, completed, encode))

    def _end(self, completed: Completed, encode: Callable[[], Encoded]) -> Encoded:
        self._context.chat.remember(self._prompt_ids, completed)
        return encode()

    async def part(self, update: Update, encode: Callable[[], Encoded]) -> Encoded:
        """Encode a part of a stream; on a worker thread if it is a large one."""
        if len(getattr(update, "logprobs", ())) <= _FEW_TOKENS:
            return encode()
        return await self._workers.end(encode)


async def _events(
    updates: AsyncGenerator[Update], chunks: ChatChunks, end_of: _Ending
) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them: the status has been sent already."""
    async with aclosing(updates):
        async for update in updates:
            if isinstance(update, Failed):
                yield sse.event(error_body(update.error))
                continue
            encode = partial(_encoded, chunks, update)
            is_end = isinstance(update, Completed)
            for event in await (end_of(update, encode) if is_end else end_of.part(update, encode)):
                yield event
    yield sse.DONE


def _encoded(chunks: ChatChunks, update: Update) -> list[bytes]:
    return [sse.event(chunk) for chunk in chunks.of(update)]
