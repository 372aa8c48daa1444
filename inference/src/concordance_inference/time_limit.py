"""Runs a function under a time limit: a chat template, or the code of a mod."""

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: Seconds between interrupts of a function that has exceeded its limit.
_RETRY_S = 0.05

#: Seconds that it has to stop after that, before its thread is abandoned.
_GRACE_S = 1.0

#: The same for a function that calls many others, each of which catches the interrupt.
_OFTEN_S, _LONG_GRACE_S = 0.002, 10.0


class TimeLimitError(Exception):
    """The function exceeded its time limit. It may still be running on `thread`."""

    def __init__(self, message: str, thread: threading.Thread | None = None) -> None:
        """Make an error.

        Args:
            message: What took how long.
            thread: The function's thread.
        """
        super().__init__(message)
        self.thread = thread


class _InterruptedError(BaseException):
    """Raised inside the function, at any bytecode. No `except Exception` catches it."""


def run_within(seconds: float, function: Callable[[], Result]) -> Result:
    """Run a function on its own thread and return its result.

    A function that takes longer than `seconds` is interrupted between two bytecodes. One that is
    blocked in a C function, or that catches `BaseException`, is abandoned on its thread.

    Args:
        seconds: The limit.
        function: Is run in a copy of the caller's context.

    Raises:
        TimeLimitError: It exceeded the limit.
        BaseException: The function raised it.
    """
    run = _Run(function)
    run.thread.start()
    run.thread.join(seconds)
    if run.thread.is_alive() and not run.is_done:
        run.interrupt()
        raise TimeLimitError(f"it took longer than {seconds:g} s", run.thread)
    return run.result()


def run_watched(
    function: Callable[[], Result],
    watch: Callable[[threading.Thread], str | None],
    *,
    poll_s: float = 0.25,
) -> Result:
    """Run a function on its own thread, until `watch` says why it has to end.

    Args:
        function: Is run in a copy of the caller's context; ended like one of `run_within`.
        watch: Called with the thread every `poll_s` seconds.
        poll_s: Seconds between two calls of `watch`.

    Raises:
        TimeLimitError: `watch` returned a reason, which is the message.
        BaseException: The function raised it.
    """
    run = _Run(function)
    run.thread.start()
    while run.thread.is_alive():
        run.thread.join(poll_s)
        if not run.is_done and (reason := watch(run.thread)):
            run.interrupt(every_s=_OFTEN_S, grace_s=_LONG_GRACE_S)
            raise TimeLimitError(reason, run.thread)
    return run.result()


class _Run(Generic[Result]):
    """A function on its thread, and its result."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._context = copy_context()
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._sending = threading.Lock()  # held while an interrupt is sent
        self.is_done = False
        self.thread = threading.Thread(target=self._run, name="time-limited", daemon=True)

    def _run(self) -> None:
        with suppress(_InterruptedError):  # an interrupt that arrives after the function's end
            try:
                self._results.append(self._context.run(self._function))
            except BaseException as exc:  # raised again by `result`
                self._error = exc
        while not self.is_done:
            with suppress(_InterruptedError):
                self._end()

    def _end(self) -> None:
        """Wait for an interrupt that is being sent; it is the last one.

        The id of a thread that has ended is soon that of another one, which would be interrupted.
        """
        with self._sending:
            self.is_done = True

    def result(self) -> Result:
        self.thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def interrupt(self, *, every_s: float = _RETRY_S, grace_s: float = _GRACE_S) -> None:
        """Raise inside the function until its thread ends or the grace period is over."""
        for _ in range(round(grace_s / every_s)):
            with self._sending:
                ident = self.thread.ident
                if ident is None or self.is_done or not self.thread.is_alive():
                    return
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(ident), ctypes.py_object(_InterruptedError)
                )
            self.thread.join(every_s)
