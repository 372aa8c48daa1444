"""`mod_debug_logs`, the field of the older server: a response has what its mods did.

It is made of the request's trace, which is of the level `tokens` then.
"""

import time
from typing import Any, Literal

from concordance_shared import InvalidRequestError
from msgspec import Struct

from concordance_inference.mods.compat.quote_mod_sdk.debug_entries import debug_entries
from concordance_inference.mods.compat.quote_mod_sdk.debug_text import debug_text
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.schema import Trace
from concordance_inference.traces.store import UnknownTraceError

NAME = "mod_debug_logs"

#: The longest wait for the end of a trace, in seconds.
_WAIT_S = 0.5


class DebugLogsFormat(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a response has the logs: as a tree, or as a list of entries."""

    type: Literal["trace", "json"] = "trace"
    ansi_color: bool = False


GivenDebugLogs = bool | Literal["trace", "json"] | DebugLogsFormat


def debug_logs_format(
    given: GivenDebugLogs | None, *, streams: bool, choices: int, traced: bool
) -> DebugLogsFormat | None:
    """Return the format that a request asks for, if it does.

    Args:
        given: The field.
        streams: The response is a stream.
        choices: Completions of the response.
        traced: The request does not choose another level of its trace than `tokens`.

    Raises:
        InvalidRequestError: The response cannot have them.
    """
    if given is None or given is False:
        return None
    if streams or choices > 1:
        kind = "a stream" if streams else "several choices"
        raise InvalidRequestError(
            f"{NAME} is not available with {kind}; GET /v1/traces/{{id}} has the same of a request "
            "with `trace: true`",
            param=NAME,
        )
    if not traced:
        raise InvalidRequestError(f"{NAME} needs `trace: true`, or no `trace`", param="trace")
    if isinstance(given, DebugLogsFormat):
        return given
    return DebugLogsFormat(type="trace" if given is True else given)


class DebugLogs:
    """The logs of one response, which are there when its request has ended."""

    def __init__(self, form: DebugLogsFormat, request_id: str, hub: TraceHub) -> None:
        """Read the trace of a request later.

        Args:
            form: What the request asks for.
            request_id: The request.
            hub: Has its trace.
        """
        self._form = form
        self._request_id = request_id
        self._hub = hub

    def _ended(self) -> Trace:
        """Return the trace; the engine ends it some microseconds after the completion.

        Raises:
            UnknownTraceError: There is none.
        """
        until = time.monotonic() + _WAIT_S
        while True:
            self._hub.flush()
            trace = self._hub.get(self._request_id)
            if trace.status != "running" or time.monotonic() > until:
                return trace
            time.sleep(0.001)

    def fields(self) -> dict[str, Any]:
        """The field of the response."""
        try:
            entries = debug_entries(self._ended())
        except UnknownTraceError:  # too many requests are traced, or the store is full
            entries = []
        if self._form.type == "json":
            return {NAME: entries}
        if not entries:
            return {NAME: "No trace data"}
        return {NAME: debug_text(entries, ansi_color=self._form.ansi_color)}
