"""The workers of a zygote: those that wait for a mod, and those that have one."""

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from concordance_shared import EngineOverloadedError, SandboxUnavailableError

from concordance_inference.sandbox.memory import SharedMemory, sealed_file
from concordance_inference.sandbox.models import SandboxModel
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.protocol.framing import Layout
from concordance_inference.sandbox.worker_handle import WorkerHandle
from concordance_inference.sandbox.zygote_link import ZygoteLink

logger = logging.getLogger(__name__)


class WorkerPool:
    """Workers by number. Thread-safe."""

    def __init__(self, options: SandboxOptions) -> None:
        """Start empty, without a zygote."""
        self._options = options
        self._lock = threading.RLock()
        self._link: ZygoteLink | None = None
        self._workers: dict[int, WorkerHandle] = {}  # all that have not ended
        self._warm: deque[WorkerHandle] = deque()
        self._models: dict[str, SandboxModel] = {}
        self._last = 0  # number of the last worker

    @property
    def num_warm(self) -> int:
        """Workers that wait for a mod."""
        return len(self._warm)

    @property
    def num_leased(self) -> int:
        """Workers that have, or had, a mod and have not ended."""
        with self._lock:
            return len(self._workers) - len(self._warm)

    @property
    def is_short(self) -> bool:
        """True if fewer workers wait for a mod than should."""
        return len(self._warm) < self._options.num_warm

    # The zygote

    def connect(self, link: ZygoteLink) -> None:
        """Use a zygote that has just been started: it gets the models, and forks workers.

        Raises:
            OSError: It cannot be sent a model.
        """
        with self._lock:
            self._link = link
            for model in self._models.values():
                self._send_model(model)
        self.refill()

    def disconnect(self) -> None:
        """Forget a zygote that has ended: its workers have ended with it."""
        with self._lock:
            self._link = None
            workers = list(self._workers.values())
            self._workers.clear()
            warm = list(self._warm)
            self._warm.clear()
        for worker in workers:
            worker.kill()  # the kernel does, too, unless the zygote was killed too early
            worker.exited(None)
        _close(warm)

    def add_model(self, model: SandboxModel) -> None:
        """Add a model; workers that are warm do not know it and are replaced.

        Raises:
            OSError: The zygote cannot be sent the model, which is not added.
        """
        with self._lock:
            if self._link is not None:
                self._send_model(model)
            self._models[model.id] = model
            warm = list(self._warm)
            self._warm.clear()
        for worker in warm:
            worker.kill()
        _close(warm)
        self.refill()

    def remove_model(self, model: str) -> None:
        """Forget a model; workers that know it are not affected."""
        with self._lock:
            if self._models.pop(model, None) is not None and self._link is not None:
                self._link.send(control.RemoveModel(model))

    def width_of(self, model: str) -> int:
        """Return the length of a row of a model's logits.

        Raises:
            SandboxUnavailableError: The model is not known any more.
        """
        if (known := self._models.get(model)) is None:
            raise SandboxUnavailableError(f"the model {model!r} is being unloaded")
        return known.width

    def _send_model(self, model: SandboxModel) -> None:
        assert self._link is not None
        fd = sealed_file("concordance-tokenizer", len(model.state), model.state)
        try:
            message = control.AddModel(model.id, model.kind, model.eos_ids, model.width)
            self._link.send(message, [fd])
        finally:
            os.close(fd)

    # Workers

    def refill(self) -> None:
        """Fork workers until enough are warm, or until one cannot be forked."""
        with self._lock:
            try:
                while self._link is not None and len(self._warm) < self._options.num_warm:
                    self._warm.append(self._fork())
            except OSError as exc:  # the caller tries again
                logger.warning("no worker can be started: %s", exc)

    def take(self, *, is_test: bool = False) -> WorkerHandle:
        """Return a worker for a mod: a warm one, or one that is being forked.

        Args:
            is_test: True for the self-test, which a full server must not fail.

        Raises:
            SandboxUnavailableError: There is no zygote, or a worker cannot be forked.
            EngineOverloadedError: Too many workers have a mod.
        """
        with self._lock:
            if self._link is None:
                raise SandboxUnavailableError(
                    "uploaded mods cannot run at the moment: the process that starts their workers "
                    "is being started"
                )
            if self.num_leased >= self._options.num_workers and not is_test:
                raise EngineOverloadedError(
                    f"{self._options.num_workers} uploaded mods are running, which is the limit; "
                    "try again later"
                )
            if self._warm:
                return self._warm.popleft()
            try:
                return self._fork()
            except OSError as exc:
                raise SandboxUnavailableError(
                    f"uploaded mods cannot run at the moment: no worker can be started: {exc}"
                ) from exc

    def _fork(self) -> WorkerHandle:
        """Ask the zygote for a worker.

        Raises:
            OSError: This process has too many descriptors or too little memory, or the zygote has
                ended.
        """
        assert self._link is not None
        self._last += 1
        width = max((model.width for model in self._models.values()), default=0)
        layout = Layout(width=width)
        options = self._options
        message = control.Fork(self._last, layout, options.memory, options.cpu_s)
        with ExitStack() as on_error:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            on_error.callback(ours.close)
            with theirs:
                ours.setblocking(False)  # noqa: FBT003  # its only argument
                memory = SharedMemory(layout)
                on_error.callback(memory.close)
                self._link.send(message, [theirs.fileno(), memory.fd])
            on_error.pop_all()
        memory.close_fd()
        worker = WorkerHandle(self._last, ours, memory, self._ask_to_kill)
        self._workers[worker.number] = worker
        return worker

    def _ask_to_kill(self, number: int) -> None:
        if (link := self._link) is not None:
            with suppress(OSError):  # it has ended, and its workers with it
                link.send(control.Kill(number))

    # Reports of the zygote

    def forked(self, number: int, pid: int, pidfd: int) -> None:
        """Take over the descriptor of a worker's process."""
        with self._lock:
            worker = self._workers.get(number)
        if worker is not None:
            worker.forked(pid, pidfd)
        elif pidfd >= 0:
            os.close(pidfd)

    def exited(self, number: int, status: int, error: str) -> None:
        """Record the end of a worker."""
        with self._lock:
            worker = self._workers.pop(number, None)
            if worker in self._warm:
                self._warm.remove(worker)
                _close([worker])
        if worker is not None:
            worker.exited(status, error=error)


def _close(workers: Iterable[WorkerHandle]) -> None:
    for worker in workers:
        worker.close()
