"""Failures of a mod, as a worker reports them."""

import traceback

from concordance_sdk.host.own_frames import formatted, own_frames
from concordance_shared import ConcordanceError
from concordance_shared.errors import message_of

from concordance_inference.sandbox.protocol.replies import SentFailure

MEMORY = "mod_memory"

#: Characters of a message and of a traceback.
_MAX_MESSAGE, _MAX_TRACEBACK = 4000, 12_000

_MAX_NAME = 200


def failure_of(error: BaseException, *, mod: str, memory: int) -> SentFailure:
    """Describe an error of a mod.

    Args:
        error: What the host of the mod raised.
        mod: The mod's name.
        memory: Bytes that it may allocate, for the message.
    """
    cause = error.__cause__ if isinstance(error.__cause__, BaseException) else error
    code = error.code if isinstance(error, ConcordanceError) else "mod_raised"
    message = message_of(error)
    event, step = getattr(error, "event", None), getattr(error, "step", None)
    if isinstance(cause, MemoryError) and code == "mod_raised":
        code = MEMORY
        message = (
            f"mod {mod!r} ran out of memory at {event or 'its start'} (step {step or 0}): a mod "
            f"may allocate {memory >> 20} MB"
        )
    param = getattr(error, "param", None)
    return SentFailure(
        code=clean(code, _MAX_NAME),
        message=clean(message, _MAX_MESSAGE),
        event=None if event is None else clean(event, _MAX_NAME),
        step=step if isinstance(step, int) and step >= 0 else None,
        param=None if param is None else clean(param, _MAX_NAME),
        traceback=clean(_traceback(cause), _MAX_TRACEBACK),
    )


def _traceback(cause: BaseException) -> str:
    """Format the frames of the mod, and the exception; empty without such frames."""
    frames = own_frames(list(traceback.walk_tb(cause.__traceback__)))
    if not frames:
        return ""
    return f"{formatted(frames)}{type(cause).__name__}: {message_of(cause)}"


def clean(text: object, most: int) -> str:
    """Return a text of limited length that can be encoded."""
    return str(text)[:most].encode("utf-8", "replace").decode()
