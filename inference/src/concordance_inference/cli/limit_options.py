"""The options of `serve` for what a client may send, and for how long it may wait."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from concordance_inference.server.limits import Limits

_MAX_S = 10**6


@dataclass(frozen=True, kw_only=True)
class LimitArgs:
    """The limits of clients. A client that exceeds one affects its own requests only."""

    header_kib: Annotated[
        int, typer.Option(help="Largest head of a request, in KiB.", min=1, max=2**20)
    ] = 64
    header_seconds: Annotated[
        float, typer.Option(help="Time for it to arrive, in seconds.", min=0.01, max=_MAX_S)
    ] = 10.0
    body_mib: Annotated[
        float, typer.Option(help="Largest body of a request, in MiB.", min=0.001, max=1024)
    ] = 4.0
    upload_mib: Annotated[
        float, typer.Option(help="Largest body of an upload, in MiB.", min=0.001, max=1024)
    ] = 1.0
    body_idle_seconds: Annotated[
        float,
        typer.Option(help="Time without a part of a body, in seconds.", min=0.01, max=_MAX_S),
    ] = 10.0
    body_seconds: Annotated[
        float, typer.Option(help="Time for a whole body, in seconds.", min=0.01, max=_MAX_S)
    ] = 60.0
    max_waiting_per_key: Annotated[
        int,
        typer.Option(
            help="Requests of an owner of keys that may wait; more are refused.", min=0, max=10**6
        ),
    ] = 8
    queue_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds after which a request that waits for a row is refused.",
            min=0.01,
            max=_MAX_S,
        ),
    ] = 60.0
    max_connections: Annotated[
        int, typer.Option(help="Open connections; more are refused.", min=1, max=10**6)
    ] = 512
    keep_alive_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds after which a connection without a request is closed.",
            min=0.01,
            max=_MAX_S,
        ),
    ] = 30.0
    client_buffer_kib: Annotated[
        int,
        typer.Option(
            help="Most of a response that is kept for a client that reads slowly, in KiB.",
            min=1,
            max=2**20,
        ),
    ] = 256
    stalled_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds after which the request of a client that reads nothing ends.",
            min=0.01,
            max=_MAX_S,
        ),
    ] = 30.0
    request_seconds: Annotated[
        float,
        typer.Option(help="Time limit of a request, in seconds.", min=0.01, max=_MAX_S),
    ] = 600.0
    drain_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds that running requests have to finish after a signal to stop. A second "
            "signal ends them at once.",
            min=0,
            max=_MAX_S,
        ),
    ] = 10.0
    uploads_per_minute: Annotated[
        int, typer.Option(help="Uploads of an owner of keys in a minute.", min=1, max=10**6)
    ] = 30

    @property
    def limits(self) -> "Limits":
        """The limits of clients."""
        from concordance_inference.server.limits import KIB, MIB, Limits

        return Limits(
            head_bytes=self.header_kib * KIB,
            head_s=self.header_seconds,
            body_bytes=int(self.body_mib * MIB),
            mod_body_bytes=int(self.upload_mib * MIB),
            body_idle_s=self.body_idle_seconds,
            body_s=self.body_seconds,
            connections=self.max_connections,
            keep_alive_s=self.keep_alive_seconds,
            client_buffer_bytes=self.client_buffer_kib * KIB,
            stalled_s=self.stalled_seconds,
            request_s=self.request_seconds,
            uploads_per_minute=self.uploads_per_minute,
            drain_s=self.drain_timeout,
            waiting_per_owner=self.max_waiting_per_key,
            queue_s=self.queue_seconds,
        )
