"""The routes of `/v1/responses`."""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.chat.readers import reader_factory
from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.exchange import Exchange, respond
from concordance_inference.server.model_use import ModelUse, current_use
from concordance_inference.server.responses.errors import error_events
from concordance_inference.server.responses.event_log import EventLog
from concordance_inference.server.responses.input_items import page_of
from concordance_inference.server.responses.response_request import responses_request
from concordance_inference.server.responses.response_writer import ResponsesWriter
from concordance_inference.server.transport import sse
from concordance_inference.server.transport.body import read_raw
from concordance_inference.server.transport.disconnect import unless_disconnected

#: The largest sequence number of an event, in digits.
_MAX_DIGITS = 12


async def create_response(request: Request) -> Response:
    """Generate a response, as one body or as a stream, or start it in the background."""
    return await respond(request, _read, error_events=error_events)


async def get_response(request: Request) -> Response:
    """Return a stored response, or the events of one that was created in the background."""
    context, response_id = context_of(request), _id(request)
    first = _first_event(request)
    running = context.background.find(response_id)
    if first is not None:
        log = running.log if running else context.responses.get(response_id).log
        return _followed(log, first)
    if running is not None:
        return await _json(context, running.body)
    return _stored(context, response_id)


async def delete_response(request: Request) -> Response:
    """Delete a stored response; one that runs is cancelled first."""
    context, response_id = context_of(request), _id(request)
    await context.background.cancel(response_id)
    context.responses.delete(response_id)
    body = {"id": response_id, "object": "response", "deleted": True}
    return Response(msgspec.json.encode(body), media_type="application/json")


async def cancel_response(request: Request) -> Response:
    """Cancel a response that runs in the background; return it as it is then."""
    context, response_id = context_of(request), _id(request)
    await context.background.cancel(response_id)
    if not context.responses.get(response_id).is_background:
        raise InvalidRequestError(
            f"the response {response_id!r:.80} was not created with background=true; one that is "
            "waited for is cancelled by closing the connection",
            param="response_id",
        )
    return _stored(context, response_id)


async def list_input_items(request: Request) -> Response:
    """Return the items that a response was generated from, a page at a time."""
    context, response_id = context_of(request), _id(request)
    running = context.background.find(response_id)
    items = running.context if running else context.responses.get(response_id).context
    return await _json(context, lambda: page_of(items, request.query_params))


async def count_input_tokens(request: Request) -> Response:
    """Return the number of tokens of the prompt of a request, and generate nothing."""
    context = context_of(request)
    raw = await read_raw(request)

    def count() -> int:
        request = responses_request(raw, context, context.responses)
        return len(request.generation.prompt_ids)

    reading = context.read(count, num_bytes=len(raw))
    number = await unless_disconnected(request, reading)
    body = {"object": "response.input_tokens", "input_tokens": number}
    return Response(msgspec.json.encode(body), media_type="application/json")


def _read(raw: bytes, context: ServerContext) -> Exchange:
    request = responses_request(raw, context, context.responses)
    make_reader = reader_factory(request.generation, shows_cut_call=False)
    writer = ResponsesWriter(request, make_reader, context.responses)
    return Exchange(
        engine=request.served.engine,
        generations=(request.generation,),
        writer=writer,
        streams=bool(request.body.stream),
        detach=partial(_started, writer, context) if request.body.background else None,
    )


async def _started(
    writer: ResponsesWriter,
    context: ServerContext,
    events: AsyncGenerator[bytes],
    on_end: Callable[[], None],
) -> Response:
    """Start a response in the background; return its events, or the response as it is."""
    context.responses.expect(writer.id)
    use = (current_use() or ModelUse()).copy()  # the model stays loaded for longer than the request

    def end() -> None:
        use.close()
        on_end()

    context.background.start(writer, events, context.workers.encode, end)
    if writer.log is not None:
        return sse.EventStream(writer.log.follow())
    return await _json(context, writer.body)


def _id(request: Request) -> str:
    return request.path_params["response_id"]


def _first_event(request: Request) -> int | None:
    """The index of the first event to send; `None` for the response as one body."""
    query = request.query_params
    streams = query.get("stream", "false").lower()
    if streams not in ("true", "false", "1", "0"):
        raise InvalidRequestError(
            f"stream is {streams!r:.40}; it is 'true' or 'false'", param="stream"
        )
    after = query.get("starting_after")
    if streams in ("false", "0"):
        if after is not None:
            raise InvalidRequestError(
                "starting_after needs stream=true: it is the sequence number of an event",
                param="starting_after",
            )
        return None
    if after is None:
        return 0
    if not (after.isascii() and after.isdigit() and len(after) <= _MAX_DIGITS):
        raise InvalidRequestError(
            f"starting_after is {after!r:.40}; it is the sequence number of an event",
            param="starting_after",
        )
    return int(after) + 1


def _followed(log: EventLog | None, first: int) -> Response:
    if log is None:
        raise InvalidRequestError(
            "stream=true needs a response that was created with background=true and stream=true, "
            "whose events are kept; leave it out to get the response",
            param="stream",
        )
    return sse.EventStream(log.follow(first))


def _stored(context: ServerContext, response_id: str) -> Response:
    return Response(context.responses.get(response_id).body, media_type="application/json")


async def _json(context: ServerContext, make: Callable[[], Any]) -> Response:
    data = await context.workers.encode(lambda: msgspec.json.encode(make()))
    return Response(data, media_type="application/json")
