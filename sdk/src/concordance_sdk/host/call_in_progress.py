"""Finds the call of a mod's code in the stack of a thread, for watchdogs.

A call leaves no trace but its frame, so watching costs nothing in the per-token path.
"""

import time
from types import FrameType

from msgspec import Struct

from concordance_sdk.host.instance import InProcessMod
from concordance_sdk.host.own_frames import formatted, own_frames

_CALL = InProcessMod.call.__code__


class CallInProgress(Struct, frozen=True, kw_only=True):
    """A call of a mod's code that has not returned.

    Attributes:
        mod: The name of the mod.
        event: The event that it handles, or `__init__`, `prepare`, `parts`, `mods`.
        step: The position in the completion.
        request_id: The request that it belongs to.
        seconds: Time since the call.
        started: When it began, by `time.perf_counter`; identifies the call within its thread.
        stack: The mod's own frames, formatted like a traceback.
    """

    mod: str
    event: str
    step: int
    request_id: str
    seconds: float
    started: float
    stack: str

    def __str__(self) -> str:
        """Name the mod, the event and the request."""
        return (
            f"mod {self.mod!r} has not returned from {self.event} (step {self.step}) of request "
            f"{self.request_id!r} for {self.seconds:.1f} s"
        )


def call_in_progress(
    frame: FrameType | None, *, longer_than_s: float = 0.0
) -> CallInProgress | None:
    """Return the innermost call of a mod's code in a stack, if it has taken that long.

    Args:
        frame: The innermost frame of a thread, from `sys._current_frames()`.
        longer_than_s: Shorter calls are ignored.
    """
    inside: list[tuple[FrameType, int]] = []
    while frame is not None and frame.f_code is not _CALL:
        inside.append((frame, frame.f_lineno))
        frame = frame.f_back
    found = {} if frame is None else frame.f_locals
    started = found.get("started")  # not set yet if the call has only just begun
    if started is None or (seconds := time.perf_counter() - started) < longer_than_s:
        return None
    mod: InProcessMod = found["self"]
    return CallInProgress(
        mod=mod.name,
        event=found["where"],
        step=found["step"],
        request_id=mod.request.request_id,
        seconds=seconds,
        started=started,
        stack=formatted(own_frames(inside[::-1]) or inside[::-1]),
    )
