"""The zygote as the engine sees it: a process, and a socket for commands and reports."""

import os
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence

from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.protocol.framing import HEADER

_MODULE = "concordance_inference.sandbox.worker.zygote"

_CHUNK, _MAX_FDS = 64 * 1024, 64

#: In place of a descriptor that there is not.
_NO_FD = -1

#: Seconds that the zygote has to end after its socket is closed.
_END_S = 2.0


class ZygoteLink:
    """A running zygote. Any thread may send; one receives."""

    def __init__(self, python: str | None = None, *, spawns: bool = False) -> None:
        """Start a zygote with an empty environment, in a session of its own.

        Args:
            python: The interpreter; by default this process's own.
            spawns: True to execute each worker, in place of forking it.

        Raises:
            OSError: It cannot be started.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            way = "spawn" if spawns else "fork"
            command = [python or sys.executable, "-I", "-m", _MODULE, str(theirs.fileno()), way]
            try:
                self._process = subprocess.Popen(  # noqa: S603  # our own module
                    command,
                    cwd="/",
                    env={},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        self.socket = ours
        self._lock = threading.Lock()
        self._data = b""
        self._fds: deque[int] = deque()

    @property
    def pid(self) -> int:
        """The zygote's process id."""
        return self._process.pid

    def send(self, message: control.ToZygote, fds: Sequence[int] = ()) -> None:
        """Send a command.

        Args:
            message: The command.
            fds: The descriptors that belong to it.

        Raises:
            OSError: The zygote has ended, or too many descriptors are on their way to it.
        """
        body = control.ENCODER.encode(message)
        data = HEADER.pack(len(body)) + body
        with self._lock:
            if fds:
                socket.send_fds(self.socket, [data], fds)
            else:
                self.socket.sendall(data)

    def receive(self) -> list[tuple[control.FromZygote, int]] | None:
        """Wait for reports; return them with their descriptors, -1 for none.

        Returns:
            `None` if the zygote has ended.
        """
        try:
            data, fds, flags, _ = socket.recv_fds(self.socket, _CHUNK, _MAX_FDS)
        except OSError:
            return None
        for fd in fds:  # they arrive inheritable
            os.set_inheritable(fd, False)  # noqa: FBT003  # its only argument
        # A process that cannot have more descriptors does not get the one of a new worker, and has
        # the zygote kill it. A read ends before the next descriptor, so that it lacks at most one.
        is_lost = flags & socket.MSG_CTRUNC and not fds
        self._fds.extend([_NO_FD] if is_lost else fds)
        if not data:
            return None
        self._data += data
        return list(self._messages())

    def _messages(self) -> Iterator[tuple[control.FromZygote, int]]:
        while len(self._data) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._data)
            end = HEADER.size + length
            if len(self._data) < end:
                return
            body, self._data = self._data[HEADER.size : end], self._data[end:]
            message = control.FROM_ZYGOTE.decode(body)
            has_fd = isinstance(message, control.Forked) and message.has_pidfd
            yield message, self._fds.popleft() if has_fd else _NO_FD

    def end(self) -> None:
        """End the zygote, which kills its workers, and wait for it."""
        with self._lock:
            self.socket.close()
        for fd in self._fds:
            if fd != _NO_FD:
                os.close(fd)
        self._fds.clear()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
