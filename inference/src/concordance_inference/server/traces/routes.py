"""`/v1/traces`: lists, returns, exports and deletes traces, and sends them while they grow."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial

import msgspec
from concordance_shared import InvalidRequestError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from concordance_inference.server.context import ServerContext, context_of
from concordance_inference.server.transport import sse
from concordance_inference.traces.live import Watcher
from concordance_inference.traces.store import MAX_LIMIT, Query
from concordance_inference.traces.text import text_of_trace
from concordance_inference.traces.trace_page import TracePage

#: Query parameters of a list, and of an export.
FILTERS = {
    "model": "Only traces of this model.",
    "mod": "Only traces of requests with this mod.",
    "status": "`ended` or `failed`.",
    "search": "A text in the prompt or the completion, in any case of letters.",
    "since": "Only traces that began at this Unix time or later.",
    "before": "Only traces that began before this Unix time, for the next page.",
    "limit": f"The most traces, 1 to {MAX_LIMIT}; 50 if absent.",
}

#: Query parameters of one trace.
FORMAT = {
    "format": "`json`; `text` for a terminal; `html` for a file that shows it.",
    "beside": "With `html`: the id of a trace that the file shows beside it.",
}

_STATUSES = ("ended", "failed")

#: Encoders of each format of a trace. Only a page may have two.
_FORMATS: dict[str, Callable[..., bytes]] = {
    "json": msgspec.json.encode,
    "text": lambda trace: text_of_trace(trace).encode(),
    "html": lambda *traces: TracePage(*traces).html.encode(),
}

_MEDIA_TYPES = {"json": "application/json", "text": "text/plain", "html": "text/html"}


async def list_traces(request: Request) -> Response:
    """The traces of ended requests that match all filters, the newest first."""
    context, query = context_of(request), _query(request)

    def listed() -> bytes:
        context.traces.flush()
        found = context.traces.store.list(query)
        return msgspec.json.encode({"object": "list", "data": found})

    return _json(await context.workers.encode(listed))


async def get_trace(request: Request) -> Response:
    """One trace, as far as it is if its request runs."""
    context, trace_id = context_of(request), request.path_params["id"]
    form = request.query_params.get("format", "json")
    if form not in _FORMATS:
        expected = ", ".join(_FORMATS)
        raise InvalidRequestError(
            f"format: {form!r:.80}; expected one of {expected}", param="format"
        )
    beside = request.query_params.get("beside")
    if beside is not None and form != "html":
        raise InvalidRequestError("beside: expected only with format=html", param="beside")

    def got() -> bytes:
        if form == "json":
            return context.traces.encoded(trace_id)
        ids = [trace_id] if beside is None else [trace_id, beside]
        return _FORMATS[form](*map(context.traces.get, ids))

    data = await context.workers.encode(got)
    # A page is a file to keep or to send; shown here, it would be a part of this server.
    headers = {"Content-Disposition": "attachment; filename=trace.html"} if form == "html" else {}
    return Response(data, media_type=_MEDIA_TYPES[form], headers=headers)


async def delete_trace(request: Request) -> Response:
    """Delete the trace of a request that has ended."""
    context, trace_id = context_of(request), request.path_params["id"]
    await context.workers.encode(partial(context.traces.delete, trace_id))
    return _json(msgspec.json.encode({"id": trace_id, "object": "trace", "deleted": True}))


async def export_traces(request: Request) -> Response:
    """The traces that match all filters, as JSON Lines, the newest first."""
    context, query = context_of(request), _query(request)
    await context.workers.encode(context.traces.flush)
    lines = _lines(context.traces.store.export(query), context)
    name = "attachment; filename=traces.jsonl"
    return StreamingResponse(
        lines, media_type="application/jsonl", headers={"Content-Disposition": name}
    )


async def watch_traces(request: Request) -> Response:
    """The traces of running requests while they grow, as server-sent events.

    Requests that start meanwhile, and do not choose a level, are traced token by token. A reader
    that is too slow gets an event with the number of those that it missed.
    """
    context = context_of(request)
    loop, ready = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(ready.set)

    watcher = Watcher(wake, request.query_params.get("id"))
    await context.workers.encode(partial(context.traces.watch, watcher))
    stream = sse.EventStream(_events(watcher, ready))
    stream.on_end(partial(context.traces.watchers.remove, watcher))
    return stream


async def _events(watcher: Watcher, ready: asyncio.Event) -> AsyncGenerator[bytes]:
    yield sse.event({"type": "watching"})
    while True:
        ready.clear()
        messages, num_dropped = watcher.take()
        if num_dropped:
            yield sse.event({"type": "dropped", "num_messages": num_dropped})
        if messages:
            yield b"".join(b"data: " + message + b"\n\n" for message in messages)
        await ready.wait()


async def _lines(lines: Iterator[bytes], context: ServerContext) -> AsyncGenerator[bytes]:
    while line := await context.workers.encode(lambda: next(lines, b"")):
        yield line


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")


def _query(request: Request) -> Query:
    """Return the filters of a request.

    Raises:
        InvalidRequestError: One is wrong; `param` names it.
    """
    given = request.query_params
    status = given.get("status")
    if status not in (None, *_STATUSES):
        raise InvalidRequestError(
            f"status: {status!r:.80}; expected one of {', '.join(_STATUSES)}", param="status"
        )
    return Query(
        model=given.get("model"),
        mod=given.get("mod"),
        status=status,
        search=given.get("search"),
        since=_time(request, "since"),
        before=_time(request, "before"),
        limit=_limit(request),
    )


def _time(request: Request, name: str) -> float | None:
    text = request.query_params.get(name)
    try:
        return None if text is None else float(text)
    except ValueError as exc:
        raise InvalidRequestError(
            f"{name}: {text!r:.80} is no number; expected a Unix time in seconds", param=name
        ) from exc


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidRequestError(
            f"limit: {text!r:.80}; expected a number from 1 to {MAX_LIMIT}", param="limit"
        )
    return int(text)
