"""Runs the generations of one HTTP request and sends the response, for every API alike."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import Completed, EngineClient, Failed, GenerationRequest
from concordance_inference.server import sse
from concordance_inference.server.body import read_raw
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.disconnect import unless_disconnected
from concordance_inference.server.errors import error_body
from concordance_inference.server.mod_failures import log_failure
from concordance_inference.server.response_writer import ResponseWriter
from concordance_inference.server.updates import Numbered, all_completed, begun, merged

#: The largest body, in bytes.
MAX_BODY = 4 * 1024 * 1024

#: The most logprobs of one update that are encoded on the event loop.
_FEW_LOGPROBS = 256


class Exchange(Struct, frozen=True, kw_only=True, eq=False):
    """A request that was decoded and checked: what to generate, and how to respond."""

    engine: EngineClient
    generations: tuple[GenerationRequest, ...]
    writer: ResponseWriter
    streams: bool


#: Decodes and checks a body. Runs on a worker thread.
Read = Callable[[bytes, ServerContext], Exchange]


async def respond(request: Request, read: Read) -> Response:
    """Read the body, run what it asks for, and respond, as one body or as a stream.

    Raises:
        ConcordanceError: The request is refused, or fails before its response has begun.
        ClientDisconnect: The client disconnected.
    """
    context = context_of(request)
    exchange = await _prepared(request, read, context)
    updates = [exchange.engine.generate(generation) for generation in exchange.generations]
    if not exchange.streams:
        ends = await unless_disconnected(request, all_completed(updates))
        encode = partial(_encoded_whole, exchange.writer, ends)
        return Response(await context.workers.encode(encode), media_type="application/json")
    running = await unless_disconnected(request, begun(merged(updates)))
    return sse.event_stream(_events(running, exchange, context))


async def _prepared(request: Request, read: Read, context: ServerContext) -> Exchange:
    """Decode the request and prepare its mods, on worker threads."""
    raw = await read_raw(request, max_bytes=MAX_BODY)
    reading = context.read(partial(read, raw, context), num_bytes=len(raw))
    exchange = await unless_disconnected(request, reading)
    request.state.request_id = exchange.generations[0].request_id  # for `handle_ours`
    if not any(generation.mods for generation in exchange.generations):
        return exchange
    preparing = context.workers.prepare(partial(_with_mods, exchange))
    return await unless_disconnected(request, preparing)


def _with_mods(exchange: Exchange) -> Exchange:
    prepared = tuple(map(exchange.engine.prepare, exchange.generations))
    return msgspec.structs.replace(exchange, generations=prepared)


async def _events(
    updates: AsyncGenerator[Numbered], exchange: Exchange, context: ServerContext
) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them, since the status was sent before."""
    writer = exchange.writer
    async with aclosing(updates):
        async for numbered in updates:
            if isinstance(numbered.update, Failed):
                failed = _failed(numbered.index, numbered.update, exchange, context)
                for event in writer.failed(failed):
                    yield event
                continue
            for event in await _encoded(writer, numbered, context):
                yield event
    for event in writer.end():
        yield event


async def _encoded(
    writer: ResponseWriter, numbered: Numbered, context: ServerContext
) -> list[bytes]:
    """The events of an update; a large one is encoded on a worker thread."""
    if _is_large(numbered):
        return await context.workers.encode(lambda: list(writer.events(numbered)))
    return list(writer.events(numbered))


def _encoded_whole(writer: ResponseWriter, ends: list[Completed]) -> bytes:
    return msgspec.json.encode(writer.whole(ends))


def _failed(
    index: int, update: Failed, exchange: Exchange, context: ServerContext
) -> dict[str, object]:
    request_id = exchange.generations[index].request_id
    log_failure(update.error, request_id)
    return error_body(
        update.error, request_id=request_id, sends_tracebacks=context.sends_tracebacks
    )


def _is_large(numbered: Numbered) -> bool:
    """True if encoding an update would keep the event loop busy."""
    update = numbered.update
    return isinstance(update, Completed) or len(getattr(update, "logprobs", ())) > _FEW_LOGPROBS
