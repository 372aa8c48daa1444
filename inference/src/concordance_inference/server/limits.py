"""The limits of a server: what a client may send, and for how long it may wait or keep others."""

from typing import ClassVar

from concordance_shared import EngineError
from msgspec import Struct
from starlette.requests import Request

KIB = 1024
MIB = 1024 * KIB


class Limits(Struct, frozen=True, kw_only=True):
    """What the operator can set, besides the bounds of the engine. Times are in seconds."""

    head_bytes: int = 64 * KIB  # of the first line and the headers
    head_s: float = 10.0  # for them to arrive
    body_bytes: int = 4 * MIB
    mod_body_bytes: int = MIB  # of an upload
    body_idle_s: float = 10.0  # without a part of the body
    body_s: float = 60.0  # for the whole body
    connections: int = 512
    keep_alive_s: float = 30.0  # of a connection without a request
    client_buffer_bytes: int = 256 * KIB  # that a client has not read yet
    stalled_s: float = 30.0  # that a client may read nothing of them
    request_s: float = 600.0  # of a request, from its first byte to its end
    uploads_per_minute: int = 30  # of an owner of keys
    drain_s: float = 10.0  # that responses may continue after a signal to stop
    rows: int = 8  # requests that run together, as the next three a limit of each engine
    waiting: int = 256  # requests that wait for a row
    waiting_per_owner: int = 8  # those of an owner of keys
    queue_s: float = 60.0  # that a request may wait for a row


class RequestTimeLimitError(EngineError):
    """A request took longer than the server lets it; a retry would, too."""

    status_code: ClassVar[int] = 504
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "request_time_limit"

    def __init__(self, limit_s: float) -> None:
        """Name the limit."""
        super().__init__(
            f"the request took longer than {limit_s:g} s, which is the limit of this server; ask "
            "for fewer tokens, or let its operator raise --request-seconds"
        )


def limits_of(request: Request) -> Limits:
    """Return the limits of the application that serves a request."""
    return request.app.state.context.limits
