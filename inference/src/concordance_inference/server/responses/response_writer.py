"""Writes a response, as one body or as events, and stores it when it ends."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from concordance_inference.chat.about_reading import about_reading
from concordance_inference.chat.message_reader import ReaderFactory, whole_text
from concordance_inference.chat.readers import reader_factory
from concordance_inference.generation import (
    Completed,
    ControlDelta,
    Failed,
    LogprobsDelta,
    PrefillProgress,
    ReportsDelta,
    Started,
    TextDelta,
    TokensDelta,
)
from concordance_inference.resume.uncut import uncut
from concordance_inference.server.responses.event_log import EventLog
from concordance_inference.server.responses.items import Item
from concordance_inference.server.responses.output import Event, Output, OutputFields
from concordance_inference.server.responses.response_body import ResponseBody, about_error
from concordance_inference.server.responses.response_request import ResponsesRequest
from concordance_inference.server.responses.response_store import ResponseStore, StoredResponse
from concordance_inference.server.transport import sse
from concordance_inference.server.updates import Numbered


class ResponsesWriter:
    """The response to one request. Its body can be read while it grows, on any thread."""

    def __init__(
        self, request: ResponsesRequest, make_reader: ReaderFactory, store: ResponseStore
    ) -> None:
        """Start a response.

        Args:
            request: The request.
            make_reader: Makes the reader of the completion.
            store: Where the response is kept when it ends, if the request asks for that.
        """
        has_log = bool(request.body.background and request.body.stream)
        self.log = EventLog() if has_log else None  # of its events, kept with the response
        self._request = request
        self._body = ResponseBody(request)
        self._output = Output(_output_fields(request))
        self._reader = make_reader()
        self._store = store
        self._num_bytes = 0  # of the conversation before the response
        if request.is_stored:
            self._num_bytes = len(msgspec.json.encode(request.context))
        self._lock = threading.Lock()
        self._sequence_number = 0
        self._num_entries = 0
        self._has_begun = False
        self._is_over = False
        self._about: dict[str, Any] = {}  # what the next event says of mods and commands

    @property
    def id(self) -> str:
        """The id of the response."""
        return self._body.id

    @property
    def context(self) -> tuple[Item, ...]:
        """The conversation before the response."""
        return self._request.context

    def body(self) -> dict[str, Any]:
        """The response so far."""
        with self._lock:
            return self._body.json(self._output.items)

    def whole(self, ends: Sequence[Completed]) -> dict[str, Any]:
        """The body of a response that is not streamed."""
        with self._lock:
            self._has_begun = True
            completed = ends[0]
            delta = whole_text(completed)
            for _ in self._output.add(self._reader.add(delta), delta.logprobs):
                pass
            self._num_entries = len(completed.logprobs)
            for _ in self._complete(completed):
                pass
            return self._body.json(self._output.items)

    def begin(self) -> list[bytes]:
        """The events of the new response; none if it has begun."""
        with self._lock:
            return self._sent(self._begin())

    def events(self, numbered: Numbered) -> list[bytes]:
        """The events of a stream that an update adds."""
        update = numbered.update
        with self._lock:
            events = [*self._begin()]
            if self._body.status == "queued":
                self._body.status = "in_progress"
                events.append(self._lifecycle("in_progress"))
            match update:
                case TextDelta():
                    self._num_entries += len(update.logprobs)
                    events += self._output.add(self._reader.add(update), update.logprobs)
                case ReportsDelta():
                    self._about.setdefault("reports", []).extend(update.reports)
                case ControlDelta():
                    self._about.setdefault("control", []).extend(update.commands)
                    events = events or [self._lifecycle("in_progress")]
                case Completed():
                    events += self._complete(update)
                    events.append(self._lifecycle(self._body.status))
                case PrefillProgress():
                    self._about["progress"] = update
                    events = events or [self._lifecycle("in_progress")]
                case Started() | TokensDelta() | LogprobsDelta() | Failed():
                    pass
            return self._sent(events)

    def failed(self, error: dict[str, Any]) -> list[bytes]:
        """The events of a stream that fails after it began."""
        with self._lock:
            events = [*self._begin()]
            fields = error["error"]
            self._close_output()
            self._body.fail(fields)
            event = {name: fields[name] for name in ("code", "message", "param")}
            events += [{"type": "error", **event, **_about(fields)}]
            events.append(self._lifecycle("failed"))
            self._end()
            return self._sent(events)

    def cancel(self) -> list[bytes]:
        """The last events of a response that is cancelled; none if it has ended."""
        with self._lock:
            if self._is_over:
                return []
            events = [*self._begin(), *self._output.end("incomplete")]
            self._body.status = "cancelled"
            events.append(self._lifecycle("incomplete"))
            self._end()
            return self._sent(events)

    def end(self) -> Sequence[bytes]:
        """Nothing: streams of this API end with the response."""
        return ()

    def _begin(self) -> Iterable[Event]:
        if self._has_begun:
            return
        self._has_begun = True
        yield self._lifecycle("created")
        yield self._lifecycle(self._body.status)

    def _lifecycle(self, name: str) -> Event:
        """An event with the response as it is; encoded at once, since it changes."""
        body = self._body.json(self._output.items)
        return {"type": f"response.{name}", "response": msgspec.Raw(msgspec.json.encode(body))}

    def _complete(self, completed: Completed) -> Iterable[Event]:
        """Complete the output and the body, and store the response."""
        rest = completed.logprobs[self._num_entries :]
        yield from self._output.add(self._reader.end(completed), rest)
        if self._output.is_empty:
            yield from self._output.add_empty_message()
        self._body.complete(completed, about_reading(self._reader))
        status = "completed" if self._body.status == "completed" else "incomplete"
        yield from self._output.end(status)
        self._end(_whole_output(self._request, completed, status))

    def _close_output(self) -> None:
        """Complete the last item of a response that fails; its events are of no use."""
        for _ in self._output.end("incomplete"):
            pass

    def _end(self, whole: Sequence[Item] | None = None) -> None:
        """Store the response.

        Args:
            whole: The items that later requests continue from, if they are not those shown.
        """
        self._is_over = True
        if not self._request.is_stored:
            return
        output = self._output.items
        body = msgspec.json.encode(self._body.json(output))
        num_events = self.log.num_bytes if self.log else 0
        stored = StoredResponse(
            owner=self._request.generation.owner,
            id=self.id,
            status=self._body.status,
            body=body,
            num_bytes=self._num_bytes + 2 * len(body) + num_events,  # the items, and their JSON
            is_background=bool(self._request.body.background),
            context=self._request.context,
            output=output if whole is None else tuple(whole),
            log=self.log,
        )
        self._store.put(stored)

    def _sent(self, events: Iterable[Event]) -> list[bytes]:
        """Number and encode events; the first one says what mods reported."""
        sent = [sse.named_event(event["type"], self._numbered(event)) for event in events]
        if self.log is not None:
            self.log.add(sent)
        return sent

    def _numbered(self, event: Event) -> Event:
        event["sequence_number"] = self._sequence_number
        self._sequence_number += 1
        if self._about:
            event.setdefault("concordance", {}).update(self._about)
            self._about = {}
        return event


def _about(error: dict[str, Any]) -> dict[str, Any]:
    """What an error has besides the fields of the event."""
    about = about_error(error)
    return {"concordance": about} if len(about["error"]) > 1 else {}


def _whole_output(
    request: ResponsesRequest, completed: Completed, status: Literal["completed", "incomplete"]
) -> Sequence[Item] | None:
    """The items of a message of which the response has only a part; `None` if it has all of it."""
    generation = msgspec.structs.replace(
        request.generation, truncate_thinking=None, truncate_response=None
    )
    generation, completed = uncut(generation, completed)
    if (
        request.generation.beginning is None
        and request.generation.truncate_thinking is None
        and request.generation.truncate_response is None
    ):
        return None
    output, reader = Output(_output_fields(request)), reader_factory(generation)()
    for parts in (reader.add(TextDelta(text=completed.text)), reader.end(completed)):
        for _ in output.add(parts):
            pass
    for _ in output.end(status):
        pass
    return output.items


def _output_fields(request: ResponsesRequest) -> OutputFields:
    body = request.body
    includes = body.include or ()
    reasoning, generation, chat = body.reasoning, request.generation, request.served.chat
    hidden_ids = chat.special_ids.union(generation.stop_token_ids).difference(generation.kept_ids)
    return OutputFields(
        key=generation.request_id,
        token_bytes=chat.token_bytes,
        hidden_ids=hidden_ids,
        has_logprobs="message.output_text.logprobs" in includes,
        has_encrypted="reasoning.encrypted_content" in includes,
        has_summary=bool(reasoning and (reasoning.summary or reasoning.generate_summary)),
    )
