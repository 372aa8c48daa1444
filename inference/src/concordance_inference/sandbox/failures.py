"""The errors of uploaded mods, by what the worker reports or how it ended."""

import signal

from concordance_shared import (
    ConcordanceError,
    ConstraintError,
    FlowError,
    InvalidActionError,
    InvalidRequestError,
    ModBudgetError,
    ModDefinitionError,
    ModDiedError,
    ModError,
    ModLoadError,
    ModMemoryError,
    ModProtocolError,
    ModRaisedError,
    ModTimeoutError,
    RequestError,
    SandboxUnavailableError,
    SchemaError,
    UndeclaredLogitsError,
)

from concordance_inference.sandbox.protocol.replies import SentFailure

#: The errors that a worker may report, by code.
_MOD_ERRORS: dict[str, type[ModError]] = {
    each.code: each
    for each in (
        ConstraintError,
        FlowError,
        InvalidActionError,
        ModBudgetError,
        ModDefinitionError,
        ModLoadError,
        ModMemoryError,
        ModRaisedError,
        SchemaError,
        UndeclaredLogitsError,
    )
}

_REQUEST_ERRORS: dict[str, type[RequestError]] = {
    each.code: each for each in (InvalidRequestError, RequestError)
}


class LostWorkerError(ModError):
    """The worker of a mod has ended with the process that starts workers."""

    status_code = SandboxUnavailableError.status_code
    type = SandboxUnavailableError.type
    code = SandboxUnavailableError.code


class WorkerTracebackError(Exception):
    """The cause of a mod's error, as the worker has formatted it."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """Return the mod's own frames."""
        return f"\n{self.text}"


def error_of(failure: SentFailure, mod: str) -> ConcordanceError | None:
    """Return the error that a worker reports; `None` if no worker reports such an error.

    Args:
        failure: The report.
        mod: The mod.
    """
    if (request_error := _REQUEST_ERRORS.get(failure.code)) is not None:
        return request_error(failure.message, param=failure.param)
    if failure.code == SandboxUnavailableError.code:
        return SandboxUnavailableError(failure.message)
    if (mod_error := _MOD_ERRORS.get(failure.code)) is None:
        return None
    error = mod_error(
        failure.message, param=failure.param, mod=mod, event=failure.event, step=failure.step
    )
    if failure.traceback:
        error.__cause__ = WorkerTracebackError(failure.traceback)
    return error


def timeout(mod: str, event: str, step: int | None, seconds: float) -> ModError:
    """Build the error of a mod that did not answer in time."""
    if step is None:
        message = f"mod {mod!r} was not loaded within {seconds:g} s; it was stopped"
        return ModLoadError(message, mod=mod)
    return ModTimeoutError(
        f"mod {mod!r} did not answer {event} within {seconds * 1000:.0f} ms (step {step}); it was "
        "stopped",
        mod=mod,
        event=event,
        step=step,
    )


def violation(mod: str, what: str, event: str, step: int | None) -> ModError:
    """Build the error of a worker that broke the protocol."""
    return ModProtocolError(
        f"the worker of mod {mod!r} was stopped: it {what}",
        mod=mod,
        event=event,
        step=step,
    )


def death(mod: str, status: int | None, event: str, step: int | None) -> ModError:
    """Build the error of a worker that ended.

    Args:
        mod: The mod.
        status: Its exit status, or minus a signal's number; `None` if it is not known.
        event: What it was doing.
        step: The position; `None` while it loaded the mod.
    """
    message = f"the worker of mod {mod!r} {_ended(status)} at {event} (step {step or 0})"
    if step is None:
        return ModLoadError(
            f"the worker of mod {mod!r} {_ended(status)} while it loaded the mod", mod=mod
        )
    return ModDiedError(message, mod=mod, event=event, step=step)


def _ended(status: int | None) -> str:
    if status is None:
        return "ended"
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    cpu = " (it used up its CPU time)" if name in ("SIGXCPU",) else ""
    return f"was killed by {name}{cpu}"


def lost(mod: str, event: str, step: int | None) -> ModError:
    """Build the error of a worker that ended because the process that started it did."""
    return LostWorkerError(
        f"the worker of mod {mod!r} ended with the process that starts workers, which is being "
        "started again; send the request again",
        mod=mod,
        event=event,
        step=step,
    )


def unsendable(mod: str, exc: Exception, event: str, step: int | None) -> ConcordanceError:
    """Build the error of a message that cannot be encoded: of the request, or of an event."""
    what = f"mod {mod!r}: its worker cannot be sent the request: {exc}"
    if step is None:
        return InvalidRequestError(what)
    return ModProtocolError(what, mod=mod, event=event, step=step)
