"""Compiles constraints for a limited time, a limited number at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context

from concordance_sdk import Tokenizer
from concordance_sdk.constraints import JsonSchema, compile_constraint
from concordance_shared import ConstraintError

from concordance_inference.time_limit import TimeLimitError, run_within

#: A compiler may not be interrupted: one that takes too long is left behind on its thread.
#: While it runs, others wait: it takes one processor and no more.
_compiling = threading.Semaphore(1)


def prepare_constraints(tokenizer: Tokenizer) -> None:
    """Build what every constraint needs of a vocabulary, before any stream runs.

    It takes 0.25 s for 49,000 tokens, most of it with the interpreter's lock held, so that the
    first schema of a server would make every stream pause. A tokenizer with which constraints
    cannot be enforced is left alone: a request for one is told why.

    Args:
        tokenizer: The model's.
    """
    with suppress(ConstraintError):
        compile_constraint(JsonSchema({"type": "object"}), tokenizer)


def compile_within(seconds: float, compile_: Callable[[], object]) -> None:
    """Run a compiler for a limited time, after those that run already.

    Args:
        seconds: How long to wait for the others, and how long it may take then.
        compile_: What is run, in a copy of the caller's context.

    Raises:
        TimeLimitError: It did not end in time, or one that was left behind is still running.
        BaseException: Whatever it raised.
    """
    context = copy_context()
    done: Future[None] = Future()
    # The caller and the compiler may be interrupted anywhere, also between acquiring and `try`.
    # Nobody knows this thread to interrupt it, so that it always releases what it acquired.
    threading.Thread(
        target=_compile_in_turn,
        args=(seconds, lambda: context.run(compile_), done),
        name="compiler-turn",
        daemon=True,
    ).start()
    done.result()


def _compile_in_turn(seconds: float, compile_: Callable[[], object], done: "Future[None]") -> None:
    """Wait for a turn, compile, and keep the turn until the compiler's thread has ended."""
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
    except BaseException as exc:  # whoever waits is told
        done.set_exception(exc)
    else:
        done.set_result(None)
