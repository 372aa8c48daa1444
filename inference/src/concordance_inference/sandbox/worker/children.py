"""The processes of workers, as their parent sees them."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct

#: Milliseconds between two looks at the children, where the system does not report their ends.
_POLL_MS = 10

_HAS_PIDFD = hasattr(os, "pidfd_open")


class Child(Struct):
    """A worker's process.

    Attributes:
        worker: The number of the worker.
        pid: The process id, which is the worker's own until it is reaped.
        memory: Bytes that it may allocate, where its parent has to measure it.
        pidfd: A descriptor of the process; -1 where the system has none.
        baseline: Bytes that it had allocated when it was first measured.
    """

    worker: int
    pid: int
    memory: int
    pidfd: int = -1
    baseline: int = 0


class Children:
    """The workers that have not ended."""

    def __init__(self, poll: select.poll) -> None:
        """Start without a child.

        Args:
            poll: Reports the ends of children, where the system has descriptors of processes.
        """
        self._poll = poll
        self._children: dict[int, Child] = {}  # by process id

    @property
    def timeout_ms(self) -> int | None:
        """How long the parent may wait before it looks at its children; `None` for ever."""
        is_polled = any(child.pidfd < 0 for child in self._children.values())
        return _POLL_MS if is_polled else None

    def add(self, child: Child) -> None:
        """Watch a child."""
        if _HAS_PIDFD:
            with suppress(OSError):  # too many descriptors: it is polled
                child.pidfd = os.pidfd_open(child.pid)
                self._poll.register(child.pidfd, select.POLLIN)
        self._children[child.pid] = child

    def kill(self, worker: int) -> None:
        """Kill a worker, if it has not ended."""
        for child in self._children.values():
            if child.worker == worker:
                os.kill(child.pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill all workers."""
        for child in self._children.values():
            os.kill(child.pid, signal.SIGKILL)

    def ended(self) -> Iterator[tuple[int, int]]:
        """Yield the number and the exit status of each worker that has ended."""
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._remove(child)
                yield child.worker, os.waitstatus_to_exitcode(status)
            elif sys.platform == "darwin":
                _limit_memory(child)

    def _remove(self, child: Child) -> None:
        del self._children[child.pid]
        if child.pidfd >= 0:
            self._poll.unregister(child.pidfd)
            os.close(child.pidfd)


def _limit_memory(child: Child) -> None:
    """Kill a child that has allocated too much: macOS has no limit of its own."""
    from concordance_inference.sandbox.confinement.macos import footprint  # noqa: PLC0415

    try:
        used = footprint(child.pid)
    except OSError:  # it has just ended
        return
    child.baseline = child.baseline or used
    if used > child.baseline + child.memory:
        os.kill(child.pid, signal.SIGKILL)
