"""Failures of a mod, as a worker reports them."""

import traceback

from concordance_sdk.host.handler_errors import raised
from concordance_sdk.host.own_frames import formatted, own_frames
from concordance_shared import (
    ConcordanceError,
    ModLoadError,
    ModMemoryError,
    ModRaisedError,
)
from concordance_shared.errors import message_of

from concordance_inference.sandbox.protocol.replies import SentFailure

#: Characters of a message and of a traceback.
_MAX_MESSAGE, _MAX_TRACEBACK = 4000, 12_000

_MAX_NAME = 200


def failure_of(
    error: BaseException, *, mod: str, memory: int, place: tuple[str, int] | None
) -> SentFailure:
    """Describe an error of a mod.

    Args:
        error: What the mod raised, or its host.
        mod: The mod's name.
        memory: Bytes that it may allocate, for the message.
        place: The event that it handles, and the step; `None` while it is loaded.
    """
    known = error if isinstance(error, ConcordanceError) else _raised(error, mod, place)
    cause = known.__cause__ or error
    code, message = known.code, message_of(known)
    event, step = getattr(known, "event", None), getattr(known, "step", None)
    if isinstance(cause, MemoryError) and code == ModRaisedError.code:
        code = ModMemoryError.code
        message = (
            f"mod {mod!r} ran out of memory at {event} (step {step}): a mod may allocate "
            f"{memory >> 20} MB"
        )
    param = known.param
    return SentFailure(
        code=clean(code, _MAX_NAME),
        message=clean(message, _MAX_MESSAGE),
        event=None if event is None else clean(event, _MAX_NAME),
        step=step if isinstance(step, int) and step >= 0 else None,
        param=None if param is None else clean(param, _MAX_NAME),
        traceback=clean(_traceback(cause), _MAX_TRACEBACK),
    )


def _raised(error: BaseException, mod: str, place: tuple[str, int] | None) -> ConcordanceError:
    """Build the error for an exception that the SDK's host does not take as the mod's."""
    if place is not None:
        known: ConcordanceError = raised(mod, *place, error)
    else:
        what = f"{type(error).__name__}: {message_of(error)}"
        known = ModLoadError(f"mod {mod!r} cannot be loaded: {what}", mod=mod)
    known.__cause__ = error
    return known


def _traceback(cause: BaseException) -> str:
    """Format the frames of the mod, and the exception; empty without such frames."""
    frames = own_frames(list(traceback.walk_tb(cause.__traceback__)))
    if not frames:
        return ""
    return f"{formatted(frames)}{type(cause).__name__}: {message_of(cause)}"


def clean(text: object, most: int) -> str:
    """Return a text of limited length that can be encoded."""
    return str(text)[:most].encode("utf-8", "replace").decode()
