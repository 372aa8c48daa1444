"""Compiles constraints with a time limit, one at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context

from concordance_sdk import Tokenizer
from concordance_sdk.constraints import JsonSchema, compile_constraint
from concordance_shared import ConstraintError

from concordance_inference.time_limit import TimeLimitError, run_within

#: The time limit for compiling the format of a request, in seconds.
COMPILE_S = 4.0

#: A compiler in C cannot be interrupted. After its time limit it keeps running on its thread, and
#: holds this semaphore until it ends, so that at most one core compiles.
_compiling = threading.Semaphore(1)


def prepare_constraints(tokenizer: Tokenizer) -> None:
    """Build the vocabulary tables that all constraints share, before any stream runs.

    This takes 0.25 s for 49,000 tokens, mostly with the GIL held, so the first schema of a server
    would pause every stream. A tokenizer that does not support constraints is not an error here: a
    request with a constraint gets one.

    Args:
        tokenizer: The model's.
    """
    with suppress(ConstraintError):
        compile_constraint(JsonSchema({"type": "object"}), tokenizer)


def compile_within(seconds: float, compile_: Callable[[], object]) -> None:
    """Run a compiler with a time limit, after those that are already running.

    Args:
        seconds: Limit of the wait for other compilers, and limit of this one's run time.
        compile_: Called in a copy of the caller's context.

    Raises:
        TimeLimitError: It did not end in time, or an earlier compiler is still running.
        BaseException: Anything that `compile_` raises.
    """
    context = copy_context()
    done: Future[None] = Future()
    # `run_within` interrupts threads with an asynchronous exception, which can arrive anywhere,
    # even between `acquire` and `try`. No one interrupts the thread started here, so it always
    # releases the semaphore.
    threading.Thread(
        target=_compile_in_turn,
        args=(seconds, lambda: context.run(compile_), done),
        name="compiler-turn",
        daemon=True,
    ).start()
    done.result()


def _compile_in_turn(seconds: float, compile_: Callable[[], object], done: "Future[None]") -> None:
    """Hold the semaphore from the start of the compiler to the end of its thread."""
    if not _compiling.acquire(timeout=seconds):
        busy = TimeLimitError("the compiler is busy with another schema; try again later")
        done.set_exception(busy)
        return
    try:
        _compile(seconds, compile_, done)
    finally:
        _compiling.release()


def _compile(seconds: float, compile_: Callable[[], object], done: "Future[None]") -> None:
    try:
        run_within(seconds, compile_)
    except TimeLimitError as exc:
        late = TimeLimitError(f"it takes more than {seconds:g} s to compile; make it simpler")
        late.__cause__ = exc
        done.set_exception(late)
        if exc.thread:
            exc.thread.join()
    except BaseException as exc:  # raised in the caller by `done.result()`
        done.set_exception(exc)
    else:
        done.set_result(None)
