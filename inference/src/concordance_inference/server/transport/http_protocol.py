"""HTTP/1.1 as uvicorn speaks it, with errors in OpenAI's shape for what is not HTTP."""

from typing import Any, cast

from concordance_shared import InvalidRequestError, RequestError
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from concordance_inference.server.transport.errors import encoded_error

#: Limit of a request's head, in bytes.
MAX_HEAD = 64 * 1024


class HeadTooLargeError(RequestError):
    """The headers of a request are longer than the server reads."""

    status_code = 431
    code = "request_header_fields_too_large"


class HttpProtocol(HttpToolsProtocol):
    """A connection. What is malformed gets an error as JSON, and ends the connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin before the first request."""
        super().__init__(*args, **kwargs)
        self._num_head_bytes = 0
        self._is_in_head = True

    def data_received(self, data: bytes) -> None:
        """Parse what the client sent, and refuse a head without end."""
        super().data_received(data)
        if not self._is_in_head or self.transport.is_closing():
            return
        self._num_head_bytes += len(data)
        if self._num_head_bytes > MAX_HEAD:
            self._refuse(
                HeadTooLargeError(f"the headers are longer than {MAX_HEAD} bytes; send less")
            )

    def on_message_begin(self) -> None:
        """Begin to read the head of a request."""
        self._is_in_head, self._num_head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Handle a request."""
        self._is_in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP."""
        del msg
        self._refuse(
            InvalidRequestError(
                "the request is not HTTP/1.1: check its first line, its headers, `Content-Length` "
                "and `Transfer-Encoding`"
            )
        )

    def _refuse(self, error: RequestError) -> None:
        """Send an error and close, unless a response is being sent."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # none before the first request
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = encoded_error(error)
            head = (
                b"content-type: application/json\r\nconnection: close\r\nx-should-retry: false\r\n"
                b"content-length: " + str(len(body)).encode() + b"\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[error.status_code] + head + body)
        self.transport.close()
