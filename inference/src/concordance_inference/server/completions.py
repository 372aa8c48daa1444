"""`POST /v1/completions`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.generation import Failed, GenerationRequest
from concordance_inference.server import sse
from concordance_inference.server.body import read_raw
from concordance_inference.server.chat_completions import MAX_BODY, is_large
from concordance_inference.server.completion_request import CompletionsRequest, completions_request
from concordance_inference.server.completion_response import CompletionResponse
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.disconnect import unless_disconnected
from concordance_inference.server.errors import error_body
from concordance_inference.server.mod_failures import log_failure
from concordance_inference.server.updates import Numbered, all_completed, begun, merged


async def completions(request: Request) -> Response:
    """Continue one or several prompts, as one response or as a stream."""
    context = context_of(request)
    asked = await _read(request, context)
    response = CompletionResponse(asked, context)
    updates = [context.engine.generate(generation) for generation in asked.generations]
    if not asked.body.stream:
        ends = await unless_disconnected(request, all_completed(updates))
        data = await context.workers.encode(lambda: msgspec.json.encode(response.whole(ends)))
        return Response(data, media_type="application/json")
    running = await unless_disconnected(request, begun(merged(updates)))
    request_ids = [generation.request_id for generation in asked.generations]
    return sse.event_stream(_events(running, response, context, request_ids))


async def _read(request: Request, context: ServerContext) -> CompletionsRequest:
    """Decode the request and prepare the mods of each prompt, on worker threads."""
    raw = await read_raw(request, max_bytes=MAX_BODY)
    reading = context.workers.read(partial(completions_request, raw, context), num_bytes=len(raw))
    asked = await unless_disconnected(request, reading)
    request.state.request_id = asked.generations[0].request_id  # for `handle_ours`
    if not any(generation.mods for generation in asked.generations):
        return asked
    preparing = context.workers.prepare(partial(_prepared, asked, context))
    return msgspec.structs.replace(asked, generations=await unless_disconnected(request, preparing))


def _prepared(asked: CompletionsRequest, context: ServerContext) -> tuple[GenerationRequest, ...]:
    return tuple(context.engine.prepare(generation) for generation in asked.generations)


async def _events(
    updates: AsyncGenerator[Numbered],
    response: CompletionResponse,
    context: ServerContext,
    request_ids: list[str],
) -> AsyncGenerator[bytes]:
    """The events of a stream. An error is one of them, since the status was sent before."""
    async with aclosing(updates):
        async for numbered in updates:
            update = numbered.update
            if isinstance(update, Failed):
                request_id = request_ids[numbered.index]
                log_failure(update.error, request_id)
                yield sse.event(
                    error_body(
                        update.error,
                        request_id=request_id,
                        sends_tracebacks=context.sends_tracebacks,
                    )
                )
                continue
            encode = partial(_encoded, response, numbered)
            for event in await context.workers.encode(encode) if is_large(update) else encode():
                yield event
    yield sse.DONE


def _encoded(response: CompletionResponse, numbered: Numbered) -> list[bytes]:
    return [sse.event(chunk) for chunk in response.chunks(numbered.index, numbered.update)]
