"""Reads a completion that runs, for a thread that may wait."""

import threading
from collections.abc import Sequence

from concordance_shared import EngineError, EngineOverloadedError

from concordance_inference.engine.engine import Engine
from concordance_inference.engine.thread import EngineThread
from concordance_inference.resume.ended import EndedCompletion

#: The longest time to wait for the engine, in seconds.
WAIT_S = 10.0


def completion_so_far(
    thread: EngineThread, request_ids: Sequence[str], *, wait_s: float = WAIT_S
) -> EndedCompletion | None:
    """Return what it takes to branch off a request that runs; `None` if it does not.

    Args:
        thread: The engine.
        request_ids: Ids that the request may have.
        wait_s: The longest time to wait for the end of a step.

    Raises:
        EngineOverloadedError: The engine does not respond in time.
        EngineError: It has stopped, or this is its own thread.
    """
    if thread.is_current:
        raise EngineError(
            "a mod's handler runs on the engine's thread, which it would wait for; branch before "
            "the request, or after it"
        )
    done = threading.Event()
    found: list[EndedCompletion | EngineError | None] = []

    def read(engine: Engine) -> None:
        engine.control.read_completion(request_ids, engine.rows, receive)

    def receive(completion: EndedCompletion | None) -> None:
        found.append(completion)
        done.set()

    def refuse(error: EngineError) -> None:
        found.append(error)
        done.set()

    thread.call(read, refuse)
    if not done.wait(wait_s):
        raise EngineOverloadedError("the engine does not respond in time; try again")
    if isinstance(found[0], EngineError):
        raise found[0]
    return found[0]
