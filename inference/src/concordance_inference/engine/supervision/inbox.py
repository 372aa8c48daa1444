"""What other threads send to the engine's thread, and what it does with it between two steps."""

import queue
from collections.abc import Callable

from concordance_shared import EngineError
from msgspec import Struct

from concordance_inference.engine.engine import Engine
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.request.instances import close_instances
from concordance_inference.generation import Failed, GenerationRequest

#: Limit of calls between two steps.
_MAX_CALLS = 64


class Call(Struct, frozen=True, eq=False):
    """Code to run between two steps."""

    run: Callable[[Engine], None]
    refuse: Callable[[EngineError], None]  # called instead if the engine cannot run it


#: Submit a request, cancel one by id, call code, or stop.
Message = tuple[GenerationRequest, Emit] | str | Call | None
Inbox = queue.SimpleQueue[Message]


def take_messages(inbox: Inbox, engine: Engine) -> bool:
    """Handle messages, blocking if there is no work; return False for a stop message."""
    num_calls = 0
    while not engine.has_work or not inbox.empty():
        try:
            message = inbox.get(timeout=engine.control.next_s)
        except queue.Empty:
            engine.control.expire()
            continue
        if message is None:
            return False
        if isinstance(message, str):
            engine.cancel(message)
        elif isinstance(message, Call):
            message.run(engine)
            num_calls += 1
            if num_calls >= _MAX_CALLS and engine.has_work:
                break
        else:
            engine.submit(*message)
    if engine.control.next_s == 0:
        engine.control.expire()
    return True


def refuse(message: Message, error: EngineError) -> None:
    """End what a message asks for with an error."""
    if isinstance(message, Call):
        message.refuse(error)
    elif isinstance(message, tuple):
        close_instances(message[0])
        message[1](Failed(error=error))
