"""Waiting for another process in the middle of a call, while the thread does something else."""

from typing import Protocol, cast

from greenlet import GreenletExit, getcurrent, greenlet


class SuspendableCall(greenlet):
    """A call on a stack of its own, which can stop in the middle and continue later.

    Attributes:
        is_abandoned: True if it waits for nothing any more, since its request ends.
    """

    is_abandoned = False


class Awaited(Protocol):
    """An answer of another process that a call waits for."""

    @property
    def deadline(self) -> float:
        """When the call is continued without the answer, by `time.monotonic`."""
        ...

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when the answer arrives.

        Negative if there is none: the call is continued in each step, and may wait again.
        """
        ...


def can_wait() -> bool:
    """True if the running code belongs to a call that can be suspended."""
    return isinstance(getcurrent(), SuspendableCall)


def await_answer(awaited: Awaited) -> None:
    """Suspend the running call until an answer has arrived or is overdue.

    Only where `can_wait()`.

    Raises:
        GreenletExit: The call is abandoned.
    """
    running = getcurrent()
    assert isinstance(running, SuspendableCall), "only where `can_wait()`"
    if running.is_abandoned:
        raise GreenletExit
    cast(greenlet, running.parent).switch(awaited)
