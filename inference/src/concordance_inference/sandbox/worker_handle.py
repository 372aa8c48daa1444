"""A worker as the engine sees it: its channel, its memory, how it ended."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from concordance_inference.sandbox.memory import SharedMemory
from concordance_inference.sandbox.readiness import is_readable

#: Asks the zygote to kill a worker.
AskToKill = Callable[[int], None]


class WorkerHandle:
    """One worker. The supervisor's thread reports how it ends; its lease uses the rest.

    Attributes:
        number: Its number.
        channel: The engine's end of its channel; does not block.
        memory: The memory that it shares with the engine.
        status: Its exit status once it has ended, or minus a signal's number.
        error: Why it was never started; empty if it was.
        is_lost: True if it ended with the zygote.
        pid: Its process id, once it is known.
    """

    def __init__(
        self, number: int, channel: socket.socket, memory: SharedMemory, ask_to_kill: AskToKill
    ) -> None:
        """Describe a worker that is being forked."""
        self.number = number
        self.channel = channel
        self.memory = memory
        self.status: int | None = None
        self.error = ""
        self.is_lost = False
        self.pid = 0
        self._pidfd = -1
        self._lock = threading.Lock()  # the descriptor is closed on another thread
        self._ask_to_kill = ask_to_kill

    def forked(self, pid: int, pidfd: int) -> None:
        """Take over the descriptor of the process."""
        with self._lock:
            self.pid, self._pidfd = pid, pidfd

    def exited(self, status: int | None, *, error: str = "") -> None:
        """Record how it ended: without a status, it ended with the zygote."""
        with self._lock:
            self.status, self.error, self.is_lost = status, error, status is None
            if self._pidfd >= 0:
                os.close(self._pidfd)
            self._pidfd = -1

    @property
    def has_exited(self) -> bool:
        """True once it has ended."""
        return self.status is not None or self.is_lost

    @property
    def is_ending(self) -> bool:
        """True if its process has ended, which may not have been reported yet."""
        with self._lock:
            if self.has_exited or self._pidfd < 0:
                return self.has_exited
            return is_readable(self._pidfd, 0)

    def kill(self) -> None:
        """Kill it, without waiting. Does nothing if it has ended."""
        with self._lock:
            if self.has_exited:
                return
            if self._pidfd >= 0:
                with suppress(ProcessLookupError):  # it has ended, and its report is on its way
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                return
        self._ask_to_kill(self.number)

    def close(self) -> None:
        """Close the channel and release the memory."""
        self.channel.close()
        self.memory.close()
