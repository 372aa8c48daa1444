"""Runs the generations of one HTTP request and sends the response, for every API alike."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
from concordance_shared import ConcordanceError, EngineStoppedError
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import (
    Completed,
    EngineClient,
    Failed,
    GenerationRequest,
    Started,
    TextDelta,
    Update,
)
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.control.running_requests import RunningRequest
from concordance_inference.server.model_wait import (
    ErrorEvents,
    error_event,
    wait_or_start,
    waits_for_events,
)
from concordance_inference.server.operations.request_record import current_record
from concordance_inference.server.response_writer import ResponseWriter
from concordance_inference.server.served_models import ModelNotLoadedError
from concordance_inference.server.traces.begin import traced
from concordance_inference.server.transport import sse
from concordance_inference.server.transport.body import read_raw
from concordance_inference.server.transport.disconnect import unless_disconnected
from concordance_inference.server.transport.errors import error_body, unexpected
from concordance_inference.server.transport.mod_failures import log_failure
from concordance_inference.server.transport.request_id import own_request_id
from concordance_inference.server.updates import Batch, Numbered, all_completed, begun, merged

logger = logging.getLogger(__name__)

#: The logger of bodies, which have prompts. `serve --debug` enables it.
bodies = logging.getLogger("concordance_inference.server.bodies")

#: Bytes of a body that are logged.
_MAX_LOGGED = 16 * 1024

#: The most logprobs of one update that are encoded on the event loop.
_FEW_LOGPROBS = 256


#: Starts a stream of events that no client waits for, and calls a function when it has ended;
#: returns the response.
Detach = Callable[[AsyncGenerator[bytes], Callable[[], None]], Awaitable[Response]]


class Exchange(Struct, frozen=True, kw_only=True, eq=False):
    """A request that was decoded and checked: what to generate, and how to respond."""

    engine: EngineClient
    generations: tuple[GenerationRequest, ...]
    writer: ResponseWriter
    streams: bool
    detach: Detach | None = None  # runs in the background
    body: bytes | None = None  # of a request that is traced


#: Decodes and checks a body. Runs on a background thread.
Read = Callable[[bytes, ServerContext], Exchange]


async def respond(
    request: Request,
    read: Read,
    *,
    error_events: ErrorEvents = error_event,
    keep_alive: bytes = sse.KEEP_ALIVE,
) -> Response:
    """Read the body, run what it asks for, and respond, as one body or as a stream.

    Args:
        request: The request.
        read: Decodes and checks the body.
        error_events: The events of a stream whose request is refused after the response started.
        keep_alive: Sent in a stream while no event comes.

    Raises:
        ConcordanceError: The request is refused, or fails before its response has begun.
        ClientDisconnect: The client disconnected.
    """
    context = context_of(request)
    running = context.running.begin(
        own_request_id(), request.scope["path"], limit_s=context.limits.request_s
    )
    try:
        response = await _response(request, read, context, running, error_events)
        if isinstance(response, sse.EventStream):
            response.keep_alive = keep_alive
    except ConcordanceError as exc:
        context.running.end(running)
        if (error := running.error(exc)) is not exc:
            raise error from exc
        raise
    except BaseException:
        context.running.end(running)
        raise
    if running.is_detached:  # `_detached` ends it
        return response
    if isinstance(response, sse.EventStream):
        response.on_end(lambda: context.running.end(running))
    else:
        context.running.end(running)
    return response


async def _response(
    request: Request,
    read: Read,
    context: ServerContext,
    running: RunningRequest,
    error_events: ErrorEvents,
) -> Response:
    exchange = await _prepared(request, read, context)
    if isinstance(exchange, asyncio.Future):
        opened = partial(_opened_late, exchange, running, context)
        stream = sse.EventStream(_events(opened, context, running, error_events))
        stream.on_end(exchange.cancel)
        return stream
    request.state.request_id = exchange.generations[0].request_id  # for `handle_ours`
    updates = _begun(exchange, running, context)
    if exchange.detach is not None:
        return await _detached(exchange, merged(updates), context, running)
    if not exchange.streams:
        ends = await unless_disconnected(request, all_completed(updates))
        running.check(ends)
        current_record().ends.extend(ends)
        encode = partial(_encoded_whole, exchange.writer, ends)
        return Response(await context.workers.encode(encode), media_type="application/json")
    batches = await unless_disconnected(request, begun(merged(updates)))
    return sse.EventStream(_events(partial(_opened, exchange, batches), context, running))


def _begun(
    exchange: Exchange, running: RunningRequest, context: ServerContext
) -> list[AsyncIterator[Update]]:
    """Start the generations of a request."""
    running.run(exchange.engine, exchange.generations)
    running.generations = traced(
        exchange.engine, exchange.generations, running.path, context, exchange.body
    )
    for generation in exchange.generations:
        if generation.branch is not None:
            context.branches.add(
                generation.request_id,
                generation.branch,
                model=exchange.engine.model.id,
                path=running.path,
                owner=generation.owner,
            )
    current_record().begin(exchange.generations, exchange.engine.model.id, streams=exchange.streams)
    return [exchange.engine.generate(generation) for generation in running.generations]


async def _detached(
    exchange: Exchange,
    batches: AsyncGenerator[Batch],
    context: ServerContext,
    running: RunningRequest,
) -> Response:
    """Run a request without its connection. Its record ends when both have."""
    assert exchange.detach
    close = current_record().detach()

    def end() -> None:
        context.running.end(running)
        close()

    running.is_detached = True
    try:
        opened = partial(_opened, exchange, batches)
        return await exchange.detach(_events(opened, context, running), end)
    except Exception:  # it has not started
        end()
        raise


async def _prepared(
    request: Request, read: Read, context: ServerContext
) -> "Exchange | asyncio.Future[Exchange]":
    """Decode the request and prepare its mods, on background threads.

    Returns:
        The exchange; for a stream, a task that waits for its model to be loaded.
    """
    if context.draining.is_set():
        raise EngineStoppedError("the server is stopping and takes no new requests")
    raw = await read_raw(request)
    if bodies.isEnabledFor(logging.DEBUG):
        bodies.debug("%s", raw[:_MAX_LOGGED].decode(errors="replace"))
    read_body = partial(_read, read, raw, context)
    try:
        reading = context.workers.read(read_body, num_bytes=len(raw))
        exchange = await unless_disconnected(request, reading)
    except ModelNotLoadedError:
        asks = context.workers.read(partial(waits_for_events, raw), num_bytes=len(raw))
        streams = await unless_disconnected(request, asks)
        return await wait_or_start(request, _loaded(read_body, raw, context), streams=streams)
    return await unless_disconnected(request, _modded(exchange, context))


def _read(read: Read, raw: bytes, context: ServerContext) -> Exchange:
    """Decode a body, and keep it if the trace of its request has it."""
    exchange, hub = read(raw, context), context.traces
    if not hub.keeps_prompts or hub.level_of(exchange.generations[0].trace) == "off":
        return exchange
    return msgspec.structs.replace(exchange, body=raw)


async def _loaded(
    read_body: Callable[[], Exchange], raw: bytes, context: ServerContext
) -> Exchange:
    """Decode a request after its model was loaded."""
    return await _modded(await context.read(read_body, num_bytes=len(raw)), context)


async def _modded(exchange: Exchange, context: ServerContext) -> Exchange:
    if not any(generation.mods for generation in exchange.generations):
        return exchange
    return await context.workers.prepare(partial(_with_mods, exchange))


def _with_mods(exchange: Exchange) -> Exchange:
    prepared = tuple(map(exchange.engine.prepare, exchange.generations))
    return msgspec.structs.replace(exchange, generations=prepared)


async def _opened_late(
    preparing: "asyncio.Future[Exchange]", running: RunningRequest, context: ServerContext
) -> tuple[Exchange, AsyncGenerator[Batch]]:
    """Start the generations of a stream that started while its model was loaded."""
    exchange = await preparing
    return exchange, merged(_begun(exchange, running, context))


async def _opened(
    exchange: Exchange, batches: AsyncGenerator[Batch]
) -> tuple[Exchange, AsyncGenerator[Batch]]:
    """The generations of a stream, which have started."""
    return exchange, batches


async def _events(
    opened: Callable[[], Awaitable[tuple[Exchange, AsyncGenerator[Batch]]]],
    context: ServerContext,
    running: RunningRequest,
    error_events: ErrorEvents = error_event,
) -> AsyncGenerator[bytes]:
    """The events of a stream, those that are there already together.

    An error is one of them, since the status was sent before. Closing it cancels what still runs.
    The request ends before its last event, after which its client may use the id again.

    Args:
        opened: Returns the exchange and its updates.
        context: The context of the application.
        running: The request.
        error_events: The events of a stream that fails before it is opened.
    """
    writer, last = None, b""
    try:
        exchange, batches = await opened()
        writer = exchange.writer
        async with aclosing(_written(batches, exchange, context, running)) as events:
            async for data in events:
                yield data
    except Exception as exc:
        if not isinstance(exc, ConcordanceError):
            logger.exception("the response of a stream failed")
        error = running.error(exc) if isinstance(exc, ConcordanceError) else unexpected(exc)
        if writer is None:
            last = error_events(_failed(error, running.id, context), running.id)
        else:
            yield b"".join(writer.failed(error_body(error)))
    finally:
        context.running.end(running)
    if last := last or b"".join(writer.end() if writer else ()):
        yield last


async def _written(
    batches: AsyncGenerator[Batch],
    exchange: Exchange,
    context: ServerContext,
    running: RunningRequest,
) -> AsyncGenerator[bytes]:
    """The events of updates."""
    async with aclosing(batches):
        if first := b"".join(exchange.writer.begin()):
            yield first
        async for batch in batches:
            if running.is_cancelled:
                batch[:] = [Numbered(each.index, running.seen(each.update)) for each in batch]
            if any(map(_is_large, batch)):
                encode = partial(_encoded, batch, exchange, context)
                yield await context.workers.encode(encode)
            else:
                yield _encoded(batch, exchange, context)


def _encoded(batch: Batch, exchange: Exchange, context: ServerContext) -> bytes:
    """The events of updates. Those that are large are encoded on a background thread."""
    events: list[bytes] = []
    for numbered in batch:
        if isinstance(numbered.update, Failed):
            current_record().failures.append(numbered.update)
            request_id = exchange.generations[numbered.index].request_id
            failed = _failed(numbered.update.error, request_id, context)
            events.extend(exchange.writer.failed(failed))
            continue
        if isinstance(numbered.update, Started):
            current_record().see_first()
        elif isinstance(numbered.update, Completed):
            current_record().ends.append(numbered.update)
        events.extend(exchange.writer.events(numbered))
    return events[0] if len(events) == 1 else b"".join(events)


def _encoded_whole(writer: ResponseWriter, ends: list[Completed]) -> bytes:
    return msgspec.json.encode(writer.whole(ends))


def _failed(error: ConcordanceError, request_id: str, context: ServerContext) -> dict[str, Any]:
    """Note an error, and return its body."""
    log_failure(error, request_id)
    current_record().fail(error)
    return error_body(error, request_id=request_id, sends_tracebacks=context.sends_tracebacks)


def _is_large(numbered: Numbered) -> bool:
    """True if encoding an update would keep the event loop busy."""
    update = numbered.update
    if isinstance(update, TextDelta):
        return len(update.logprobs) > _FEW_LOGPROBS
    return isinstance(update, Completed)
