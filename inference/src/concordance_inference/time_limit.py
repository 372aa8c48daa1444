"""Runs a function that may never end: a chat template, or the code of a mod."""

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

Result = TypeVar("Result")

#: How often a function that is to stop is interrupted again, in seconds.
_AGAIN_S = 0.05

#: How long it may take to stop before its thread is left behind, in seconds.
_GRACE_S = 1.0


class TimeLimitError(Exception):
    """The function did not end in time.

    `thread` is the one on which it may still be running, where it was left behind.
    """

    def __init__(self, message: str, thread: threading.Thread | None = None) -> None:
        """Say what took too long.

        Args:
            message: What took how long.
            thread: The thread that was left behind.
        """
        super().__init__(message)
        self.thread = thread


class _InterruptedError(BaseException):
    """Raised inside of the function, wherever it is. No `except Exception` catches it."""


def run_within(seconds: float, function: Callable[[], Result]) -> Result:
    """Run a function on a thread of its own, for a limited time.

    A function that takes longer is interrupted between two bytecodes. One that is inside of a
    single call of a C function then, or that catches everything, is left behind on its thread.

    Args:
        seconds: How long it may take.
        function: What is run, in a copy of the caller's context.

    Returns:
        What the function returned.

    Raises:
        TimeLimitError: It did not end in time.
        BaseException: Whatever the function raised.
    """
    run = _Run(function)
    run.thread.start()
    run.thread.join(seconds)
    if run.thread.is_alive() and not run.is_done:
        run.interrupt()
        raise TimeLimitError(f"it took longer than {seconds:g} s", run.thread)
    return run.result()


class _Run(Generic[Result]):
    """A function on its thread, and what became of it."""

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._context = copy_context()
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self.is_done = False
        self.thread = threading.Thread(target=self._run, name="time-limited", daemon=True)

    def _run(self) -> None:
        with suppress(_InterruptedError):  # one that comes when the function has just ended
            try:
                self._results.append(self._context.run(self._function))
            except BaseException as exc:  # whoever waits is told
                self._error = exc
            self.is_done = True

    def result(self) -> Result:
        self.thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def interrupt(self) -> None:
        """Raise inside of the function until its thread ends."""
        for _ in range(round(_GRACE_S / _AGAIN_S)):
            ident = self.thread.ident
            if ident is None or self.is_done or not self.thread.is_alive():
                return
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(ident), ctypes.py_object(_InterruptedError)
            )
            self.thread.join(_AGAIN_S)
