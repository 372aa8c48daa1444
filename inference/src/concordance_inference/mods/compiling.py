"""Compiles constraints for a limited time, a limited number at once."""

import threading
from collections.abc import Callable

from concordance_inference.time_limit import TimeLimitError, run_within

#: A compiler may not be interrupted: one that takes too long is left behind on its thread.
#: While it runs, others wait: it takes one processor and no more.
_compiling = threading.Semaphore(1)


def compile_within(seconds: float, compile_: Callable[[], object]) -> None:
    """Run a compiler for a limited time, after those that run already.

    Args:
        seconds: How long to wait for the others, and how long it may take then.
        compile_: What is run.

    Raises:
        TimeLimitError: It did not end in time, or one that was left behind is still running.
        BaseException: Whatever it raised.
    """
    if not _compiling.acquire(timeout=seconds):
        raise TimeLimitError("the compiler is busy with another schema; try again later")
    try:
        run_within(seconds, lambda: _release_after(compile_))
    except TimeLimitError as exc:
        raise TimeLimitError(
            f"it takes more than {seconds:g} s to compile; make it simpler"
        ) from exc


def _release_after(compile_: Callable[[], object]) -> None:
    try:
        compile_()
    finally:
        _compiling.release()
