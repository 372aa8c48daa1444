"""The zygote: loads what workers need, and forks them on request.

Executed as `python -I -m concordance_inference.sandbox.worker.zygote FD fork`, with an empty
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
from concordance_inference.sandbox.worker.children import Child, Children
from concordance_inference.sandbox.worker.models import WorkerModel, load_model, state_of
from concordance_inference.sandbox.worker.output import CappedOutput, capture
from concordance_inference.sandbox.worker.process import WorkerSetup, run_worker
from concordance_inference.sandbox.worker.starting import SpawnSetup, spawn
from concordance_inference.sandbox.worker.warm_up import warm_up

_CHUNK, _MAX_FDS = 64 * 1024, 64


class Zygote:
    """Forks workers, kills them, and reports their ends."""

    def __init__(
        self, control_socket: socket.socket, output: CappedOutput, *, spawns: bool
    ) -> None:
        """Serve the engine.

        Args:
            control_socket: Connected to the engine.
            output: What is printed in this process and its workers.
            spawns: True to execute each worker, in place of forking it.
        """
        self._spawns = spawns
        self._output = output
        self._socket = control_socket
        self._models: dict[str, WorkerModel] = {}
        self._states: dict[str, tuple[control.AddModel, int]] = {}  # descriptors of tokenizers
        self._poll = select.poll()
        self._poll.register(control_socket, select.POLLIN)
        self._children = Children(self._poll)
        self._data = b""
        self._fds: deque[int] = deque()
        self._is_open = True

    def run(self) -> None:
        """Work until the engine ends."""
        self._send(control.Started(os.getpid()))
        while self._is_open:
            ready = [fd for fd, _ in self._poll.poll(self._children.timeout_ms)]
            for worker, status in self._children.ended():
                self._send(control.Exited(worker, status))
            if self._socket.fileno() in ready:
                self._receive()
        self._children.kill_all()

    def _receive(self) -> None:
        try:
            data, fds, flags, _ = socket.recv_fds(self._socket, _CHUNK, _MAX_FDS)
        except ConnectionError:
            data, fds, flags = b"", [], 0
        for fd in fds:  # they arrive inheritable
            os.set_inheritable(fd, False)  # noqa: FBT003  # its only argument
        if flags & socket.MSG_CTRUNC:  # some did not fit: which command lacks one is unknown
            data = b""
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
                self._start(message, self._fds.popleft(), self._fds.popleft())
            case control.Kill(worker):
                self._children.kill(worker)
            case control.AddModel():
                self._add_model(message, self._fds.popleft())
            case control.RemoveModel(model):
                self._models.pop(model, None)
                if model in self._states:
                    os.close(self._states.pop(model)[1])

    def _start(self, message: control.Fork, channel: int, memory: int) -> None:
        limits = Limits(memory=message.memory, cpu_s=message.cpu_s)
        start = self._spawned if self._spawns else self._forked
        try:
            pid = start(message, limits, channel, memory)
        except OSError as exc:
            error = f"no process can be started: {exc.strerror}"
            self._send(control.Exited(message.worker, 0, error))
            return
        finally:
            os.close(channel)
            os.close(memory)
        child = Child(message.worker, pid, message.memory)
        self._children.add(child)
        has_pidfd = child.pidfd >= 0
        forked = control.Forked(message.worker, pid, has_pidfd)
        self._send(forked, [child.pidfd] if has_pidfd else None)

    def _forked(self, message: control.Fork, limits: Limits, channel: int, memory: int) -> int:
        parent = os.getpid()
        if pid := os.fork():
            return pid
        setup = WorkerSetup(channel, memory, message.layout, limits, parent)
        run_worker(setup, self._models, self._output)

    def _spawned(self, message: control.Fork, limits: Limits, channel: int, memory: int) -> int:
        specs = tuple(spec for spec, _ in self._states.values())
        fds = [fd for _, fd in self._states.values()]
        setup = SpawnSetup(message.layout, limits, os.getpid(), specs)
        return spawn(setup, [channel, memory, *fds])

    def _add_model(self, message: control.AddModel, fd: int) -> None:
        error = ""
        try:
            model = load_model(message, state_of(fd), prepares=not self._spawns)
            self._models[message.model] = model
        except Exception as exc:  # of a package that reads a file of the model's author
            error = f"{type(exc).__name__}: {exc}"
        self._states[message.model] = (message, fd)  # spawned workers load it themselves
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
    _, control_fd, way = sys.argv
    Zygote(socket.socket(fileno=int(control_fd)), output, spawns=way == "spawn").run()


if __name__ == "__main__":
    main()
