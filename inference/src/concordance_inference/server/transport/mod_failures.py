"""Errors of mods: their record in the log, and the traceback that a client receives.

A traceback has source lines and paths. Those of an upload are its client's own. Those of the
operator's mods are the operator's, and are sent only if the operator says so.
"""

import logging
import traceback

from concordance_sdk.host.own_frames import formatted, own_frames
from concordance_shared import ConcordanceError, ModError
from concordance_shared.errors import message_of

from concordance_inference.sandbox.failures import WorkerTracebackError

logger = logging.getLogger(__name__)

#: The status of an error that a mod's author has to fix; below it, the client has to.
_MODS_FAULT = ModError.status_code

#: The longest message in the log, in characters.
_MAX_MESSAGE = 2000

#: How the file names of uploads begin.
_UPLOADED = "<mod "


def log_failure(error: ConcordanceError, request_id: str | None) -> None:
    """Log a mod's error on one line; with a traceback if requests are logged.

    Uploads and schemas that are refused are errors of the client, and are not logged. What an
    uploaded mod has raised may quote the conversation, so its code and place are logged only.

    Args:
        error: The error; its message has the mod, the event and the step.
        request_id: The request; `None` if it was refused before it had an id.
    """
    if request_id is None or not isinstance(error, ModError) or error.status_code < _MODS_FAULT:
        return
    if isinstance(error.__cause__, WorkerTracebackError):  # its text is the requester's
        where = error.mod, error.event, error.step
        logger.warning("%s failed: %s of mod %r at %s (step %s)", request_id, error.code, *where)
        return
    cause = error.__cause__ if logger.isEnabledFor(logging.INFO) else None
    logger.warning("%s failed: %s", request_id, error.message[:_MAX_MESSAGE], exc_info=cause)


def own_traceback(error: ModError, *, includes_operators: bool) -> str | None:
    """Format the traceback of an exception in a mod's own code.

    Args:
        error: The error that ended the request.
        includes_operators: True to include frames of mods that are not uploads.

    Returns:
        The frames of mods, and the exception; `None` if there are none.
    """
    cause = error.__cause__
    if cause is None:
        return None
    if isinstance(cause, WorkerTracebackError):
        return f"Traceback (most recent call last):\n{cause.text}"
    frames = [
        (frame, line)
        for frame, line in own_frames(traceback.walk_tb(cause.__traceback__))
        if includes_operators or frame.f_code.co_filename.startswith(_UPLOADED)
    ]
    if not frames:
        return None
    what = f"{type(cause).__name__}: {message_of(cause)}"
    return f"Traceback (most recent call last):\n{formatted(frames)}{what}"
