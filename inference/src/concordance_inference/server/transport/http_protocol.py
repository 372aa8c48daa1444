"""HTTP/1.1 as uvicorn speaks it, with limits that it lacks, and errors in OpenAI's shape.

    what                                          timer or count         then
    a head that does not arrive, or has no end    head_s, head_bytes     408, 431
    a body of which no handler reads the rest     body_idle_s            close
    chunks and trailers without data              head_bytes             431
    more connections than allowed                 connections            503
    a client that reads nothing of its response   stalled_s              abort: cancels the request

Bodies that a handler reads have the limits of `read_raw`.
"""

import asyncio
from typing import Any, ClassVar, cast

from concordance_shared import EngineError, InvalidRequestError, RequestError
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from concordance_inference.server.limits import Limits
from concordance_inference.server.transport.errors import encoded_error, error_headers
from concordance_inference.server.transport.reader_watch import ReaderWatch

#: Seconds after a refusal until the connection is closed: closed at once, with bytes of the
#: client unread, it would be reset, and the client might not see the refusal.
_LINGER_S = 1.0


class HeadTooLargeError(RequestError):
    """The headers of a request are longer than the server reads."""

    status_code = 431
    code = "request_header_fields_too_large"


class HeadTimeoutError(RequestError):
    """The headers of a request do not arrive in time."""

    status_code = 408
    code = "request_timeout"


class TooManyConnectionsError(EngineError):
    """The server has as many connections as it may."""

    status_code: ClassVar[int] = 503
    type: ClassVar[str] = "overloaded"
    code: ClassVar[str] = "too_many_connections"


class HttpProtocol(HttpToolsProtocol):
    """A connection. What is malformed gets an error as JSON, and ends the connection."""

    def __init__(self, *args: Any, limits: Limits | None = None, **kwargs: Any) -> None:
        """Begin before the first request."""
        super().__init__(*args, **kwargs)
        self._limits = Limits() if limits is None else limits
        self._num_idle_bytes = 0  # of a head, or since the last data of a body
        self._is_in_head = True
        self._is_in_message = False
        self._is_refused = False
        self._has_data = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader: ReaderWatch = cast(ReaderWatch, None)  # until there is a connection

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore
        """Wait for a request, unless there are too many connections."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self._limits.client_buffer_bytes)
        self._reader = ReaderWatch(transport, limit_s=self._limits.stalled_s)
        if len(self.connections) > self._limits.connections:
            self.connections.discard(self)
            self._refuse(
                TooManyConnectionsError(
                    f"the server has {self._limits.connections} connections, which is the most; "
                    "try again later"
                )
            )
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what runs for the connection."""
        self._stop_head_timer()
        self._reader.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent, and refuse a head without end."""
        if self._is_refused:
            return
        self._has_data = False
        super().data_received(data)
        if self._is_refused or self.transport.is_closing():
            return
        if not self._is_in_message and self._head_timer is None:
            self._await_head()  # an empty line is no request yet
        if self._has_data or not self._is_in_message:
            return
        self._num_idle_bytes += len(data)
        if self._num_idle_bytes > self._limits.head_bytes:
            self._refuse(
                HeadTooLargeError(
                    f"the headers are longer than {self._limits.head_bytes} bytes; send less"
                )
            )

    # The request

    def on_message_begin(self) -> None:
        """Begin to read the head of a request."""
        self._is_in_head = self._is_in_message = True
        self._num_idle_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those that follow a body are dropped."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Handle a request."""
        self._is_in_head = False
        self._num_idle_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a part of a body."""
        self._has_data, self._num_idle_bytes = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Read no more of a request."""
        self._is_in_message = False
        super().on_message_complete()

    def _await_head(self) -> None:
        """Allow `head_s` for the head of a request."""
        self._head_timer = self.loop.call_later(self._limits.head_s, self._end_head)

    def _end_head(self) -> None:
        """Refuse a head that has not arrived; close a connection without one."""
        self._head_timer = None
        if self._is_in_message:
            self._refuse(
                HeadTimeoutError(
                    f"the headers did not arrive within {self._limits.head_s:g} s; send them at "
                    "once, and an empty line after them"
                )
            )
        elif not self._is_responding:
            self.transport.close()

    # The response

    @property
    def _is_responding(self) -> bool:
        cycle = cast(RequestResponseCycle | None, self.cycle)  # none before the first request
        return cycle is not None and not cycle.response_complete

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read the response."""
        super().on_response_complete()
        if self._is_in_message:  # nothing reads the rest of the body
            self.loop.call_later(self._limits.body_idle_s, self._close_unless_read, self.cycle)
        self._reader.begin()

    def _close_unless_read(self, cycle: RequestResponseCycle) -> None:
        if self.cycle is cycle and self._is_in_message:
            self.transport.close()

    def pause_writing(self) -> None:
        """Stop writing to a client that does not read."""
        super().pause_writing()
        self._reader.begin()

    def resume_writing(self) -> None:
        """Write again to a client that has read."""
        self._reader.stop()
        super().resume_writing()

    # Refusals

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP."""
        del msg
        self._refuse(
            InvalidRequestError(
                "the request is not HTTP/1.1: check its first line, its headers, `Content-Length` "
                "and `Transfer-Encoding`"
            )
        )

    def _refuse(self, error: RequestError | EngineError) -> None:
        """Send an error and close, unless a response is being sent."""
        cycle = cast(RequestResponseCycle | None, self.cycle)
        self._is_refused = True
        self._stop_head_timer()
        self._reader.stop()
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.close()
            return
        self.transport.write(_refusal(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _refusal(error: RequestError | EngineError) -> bytes:
    """A whole response."""
    body = encoded_error(error)
    headers = {
        "content-type": "application/json",
        "connection": "close",
        **error_headers(error),
        "content-length": len(body),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return STATUS_LINE[error.status_code] + lines.encode() + b"\r\n" + body
