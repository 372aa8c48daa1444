"""The zygote: loads what workers need, and forks them on request.

Executed as `python -I -m concordance_inference.sandbox.worker.zygote FD`, with an empty
environment, before the model is loaded: it has nothing that a worker could read. It has one thread
and never runs the code of a mod.
"""

import gc
import os
import select
import socket
import sys
from collections import deque

from concordance_inference.sandbox.confinement.process import Limits
from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.protocol.framing import HEADER
from concordance_inference.sandbox.worker import imports
from concordance_inference.sandbox.worker.models import WorkerModel, load_model
from concordance_inference.sandbox.worker.output import CappedOutput, capture
from concordance_inference.sandbox.worker.process import WorkerSetup, run_worker
from concordance_inference.sandbox.worker.warm_up import warm_up

_CHUNK, _MAX_FDS = 64 * 1024, 64

#: The state of a tokenizer is at most this long.
_MAX_STATE = 1 << 30


class Zygote:
    """Forks workers, kills them, and reports their ends."""

    def __init__(self, control_socket: socket.socket, output: CappedOutput) -> None:
        """Obey the engine.

        Args:
            control_socket: The engine is at its other end.
            output: What is printed in this process and its workers.
        """
        self._output = output
        self._socket = control_socket
        self._models: dict[str, WorkerModel] = {}
        self._workers: dict[int, tuple[int, int]] = {}  # by pidfd: number, process id
        self._poll = select.poll()
        self._poll.register(control_socket, select.POLLIN)
        self._data = b""
        self._fds: deque[int] = deque()
        self._is_open = True

    def run(self) -> None:
        """Work until the engine ends."""
        self._send(control.Started(os.getpid()))
        while self._is_open:
            for fd, _ in self._poll.poll():
                if fd == self._socket.fileno():
                    self._receive()
                elif fd in self._workers:
                    self._reap(fd)
        for _, pid in self._workers.values():
            os.kill(pid, 9)

    def _receive(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, _CHUNK, _MAX_FDS)
        except ConnectionError:
            data, fds = b"", []
        self._fds.extend(fds)
        if not data:
            self._is_open = False
            return
        self._data += data
        while len(self._data) >= HEADER.size:
            (length,) = HEADER.unpack(self._data[: HEADER.size])
            end = HEADER.size + length
            if len(self._data) < end:
                return
            body, self._data = self._data[HEADER.size : end], self._data[end:]
            self._obey(control.TO_ZYGOTE.decode(body))

    def _obey(self, message: control.ToZygote) -> None:
        match message:
            case control.Fork():
                self._fork(message, self._fds.popleft(), self._fds.popleft())
            case control.Kill(worker):
                for number, pid in self._workers.values():
                    if number == worker:
                        os.kill(pid, 9)  # not reaped yet, so the id is still its own
            case control.AddModel():
                self._add_model(message, self._fds.popleft())

    def _fork(self, message: control.Fork, channel: int, memory: int) -> None:
        limits = Limits(memory=message.memory, cpu_s=message.cpu_s)
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as exc:
            self._send(control.Exited(message.worker, 0, error=f"cannot fork: {exc.strerror}"))
            return
        finally:
            if os.getpid() == parent:
                os.close(channel)
                os.close(memory)
        if pid == 0:
            setup = WorkerSetup(channel, memory, message.layout, limits, parent)
            run_worker(setup, self._models, self._output)
        pidfd = os.pidfd_open(pid)
        self._workers[pidfd] = (message.worker, pid)
        self._poll.register(pidfd, select.POLLIN)
        self._send(control.Forked(message.worker, pid, has_pidfd=True), [pidfd])

    def _reap(self, pidfd: int) -> None:
        number, pid = self._workers.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._send(control.Exited(number, os.waitstatus_to_exitcode(status)))

    def _add_model(self, message: control.AddModel, fd: int) -> None:
        error = ""
        try:
            with os.fdopen(fd, "rb") as file:
                file.seek(0)
                state = file.read(_MAX_STATE)
            self._models[message.model] = load_model(message, state)
        except Exception as exc:  # of a package that reads a file of the model's author
            error = f"{type(exc).__name__}: {exc}"
        _freeze()
        self._send(control.ModelAdded(message.model, error))

    def _send(self, message: control.FromZygote, fds: list[int] | None = None) -> None:
        body = control.ENCODER.encode(message)
        data = HEADER.pack(len(body)) + body
        try:
            if fds:
                socket.send_fds(self._socket, [data], fds)
            else:
                self._socket.sendall(data)
        except ConnectionError:
            self._is_open = False


def _freeze() -> None:
    """Keep the garbage collector of workers from writing to pages that they share."""
    imports.forget_folders()
    gc.freeze()


def main() -> None:
    """Load the modules, then fork workers until the engine ends."""
    gc.disable()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    imports.preload()
    output = capture()
    warm_up(output)
    output.take()
    _freeze()
    Zygote(socket.socket(fileno=int(sys.argv[1])), output).run()


if __name__ == "__main__":
    main()
