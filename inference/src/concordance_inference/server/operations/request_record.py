"""What one HTTP request was and how it ended, for the log, metrics and traces."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Protocol

from concordance_shared import ConcordanceError
from msgspec import Struct, field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concordance_inference.generation import Completed, Failed, GenerationRequest

_ID_HEADER = b"x-request-id"

#: Headers that observers read: those of a trace that the request is part of.
_KEPT_HEADERS = frozenset({b"traceparent", b"tracestate"})

#: Routes that probes request every few seconds, which are logged for debugging only.
PROBES = frozenset({"/healthz", "/readyz", "/health", "/metrics"})


class RequestRecord(Struct, kw_only=True):
    """A request, filled while it is handled. Worker threads of the request share it.

    Attributes:
        route: The path as the application declares it; of bounded number.
        status: Of the response; 499 if the client disconnected before it began, 0 before.
        key: The id of the key of its caller.
        model: The name of the model that runs the request.
        mods: The names of the request's mods.
        error: The code and the type of the error that ended it.
        span: The span of the request, if it is traced.
        first_at: When the first token was decided, by `time.monotonic`.
    """

    method: str
    route: str = "unknown"
    headers: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    request_id: str = ""
    status: int = 0
    started_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0
    first_at: float | None = None
    key: str | None = None
    model: str | None = None
    mods: tuple[str, ...] = ()
    streams: bool = False
    ends: list[Completed] = field(default_factory=list[Completed])
    failures: list[Failed] = field(default_factory=list[Failed])
    error: tuple[str, str] | None = None
    span: object = None
    _num_open: int = 1  # the response, and a run without its connection
    _observers: Sequence["Observer"] = ()

    @property
    def seconds(self) -> float:
        """Time from the request to the end of its response."""
        return self.ended_at - self.started_at

    @property
    def first_token_s(self) -> float | None:
        """Time from the request to its first token."""
        return None if self.first_at is None else self.first_at - self.started_at

    def begin(self, generations: Sequence[GenerationRequest], model: str, *, streams: bool) -> None:
        """Note what the engine runs for the request."""
        self.model, self.streams = model, streams
        self.mods = tuple(mod.name for mod in generations[0].mods)

    def fail(self, error: ConcordanceError) -> None:
        """Note the error that ends the request."""
        self.error = error.code, error.type

    def detach(self) -> Callable[[], None]:
        """Keep the record open after the response, for what runs without its connection.

        Returns:
            Closes it. Has no effect the second time.
        """
        self._num_open += 1
        is_closed = False

        def close() -> None:
            nonlocal is_closed
            if not is_closed:
                is_closed = True
                self.close()

        return close

    def close(self) -> None:
        """Notify observers of the end, unless a part of the request continues."""
        self._num_open -= 1
        if not self._num_open:
            self.ended_at = time.monotonic()
            for observer in self._observers:
                observer.ended(self)

    def see_first(self) -> None:
        """Note the time of the first token, once."""
        if self.first_at is None:
            self.first_at = time.monotonic()


class Observer(Protocol):
    """Something that is notified of requests."""

    def started(self, record: RequestRecord) -> None:
        """Called when a request arrives, in its context."""
        ...

    def ended(self, record: RequestRecord) -> None:
        """Called when its response is complete, and what it started in the background."""
        ...


_record: ContextVar[RequestRecord | None] = ContextVar("request_record", default=None)


def current_record() -> RequestRecord:
    """Return the record of the request that this code runs for.

    Code that runs for no request gets one that is dropped.
    """
    return _record.get() or RequestRecord(method="")


class RequestRecords:
    """Keeps a record of each request and notifies observers. The outermost middleware."""

    def __init__(self, app: ASGIApp, *, observers: Sequence[Observer]) -> None:
        """Wrap an application.

        Args:
            app: The application.
            observers: Notified of each request, in order.
        """
        self._app = app
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(
            method=scope["method"], headers=_kept_headers(scope), _observers=self._observers
        )
        _record.set(record)

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                record.request_id = dict(message["headers"]).get(_ID_HEADER, b"").decode()
            await send(message)

        for observer in self._observers:
            observer.started(record)
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            if route := scope.get("route"):
                record.route = route.path
            record.close()


def _kept_headers(scope: Scope) -> dict[bytes, bytes]:
    return {name: value for name, value in scope["headers"] if name in _KEPT_HEADERS}
