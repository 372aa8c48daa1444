"""Runs the zygote, and leases workers for uploaded mods."""

import logging
import os
import select
import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import Conversation, SandboxUnavailableError
from msgspec import Raw, Struct

from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.models import SandboxModel, sandbox_model
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Described, LeaseFailed
from concordance_inference.sandbox.pool import WorkerPool
from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.protocol.events import Begin, ModSource, TagsSpec
from concordance_inference.sandbox.zygote_link import ZygoteLink

logger = logging.getLogger(__name__)

#: Seconds before a zygote is started again, the first time and at most.
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 1.0, 30.0

#: A zygote that has run for this long is started again without a delay.
_HEALTHY_S = 30.0

#: The model of workers that only describe a mod, or test the sandbox.
NO_MODEL = ""


class LeaseRequest(Struct, frozen=True, kw_only=True, eq=False):
    """A mod of a request.

    Attributes:
        source: The mod.
        parameters: As the client sent them; the worker validates them.
        strict: False accepts strings for numbers.
        param: The request's field with the mod, for messages.
        model: The id of the model.
        request_id: The request.
        conversation: Its messages, tools and response format.
        given: The beginning of the completion, if an earlier request generated it.
        channels: How the model marks channels.
    """

    source: ModSource
    parameters: Mapping[str, Any] = {}
    strict: bool = True
    param: str = "mods[0]"
    model: str = NO_MODEL
    request_id: str = ""
    conversation: Conversation = Conversation()
    given: tuple[int, ...] = ()
    channels: TagsSpec | None = None


class SandboxStatus(Struct, frozen=True, kw_only=True):
    """The state of the sandbox.

    Attributes:
        is_available: True if uploaded mods can run.
        reason: Why they cannot; empty if they can.
        num_leased: Workers that have a mod.
        num_warm: Workers that wait for one.
    """

    is_available: bool
    reason: str
    num_leased: int
    num_warm: int


class Supervisor:
    """The sandbox of a server. Thread-safe."""

    def __init__(self, options: SandboxOptions = SandboxOptions()) -> None:  # noqa: B008  # frozen
        """Keep the options; nothing starts before `start`."""
        self.options = options
        self.pool = WorkerPool(options)
        self.pool.add_model(sandbox_model(NO_MODEL, ByteTokenizer(), width=257))
        self._models: dict[str, str] = {NO_MODEL: ""}  # id -> why workers cannot load it
        self._reason = "the sandbox has not been started"
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._is_stopping = threading.Event()
        self._wakes, self._waker = -1, -1

    # Public

    def start(self) -> None:
        """Start the zygote and a thread that watches it; return at once."""
        self._wakes, self._waker = os.pipe()
        self._thread.start()

    def stop(self) -> None:
        """End every worker and the zygote."""
        if self._waker < 0:
            return
        self._is_stopping.set()
        self._notify()
        self._thread.join()
        os.close(self._wakes)
        os.close(self._waker)
        self._waker = -1

    def add_model(self, model: SandboxModel) -> None:
        """Let workers work for a model, also after a restart of the zygote."""
        self._models[model.id] = ""
        self.pool.add_model(model)

    @property
    def status(self) -> SandboxStatus:
        """The state of the sandbox."""
        return SandboxStatus(
            is_available=not self._reason,
            reason=self._reason,
            num_leased=self.pool.num_leased,
            num_warm=self.pool.num_warm,
        )

    def lease(self, request: LeaseRequest) -> Lease:
        """Give a mod to a worker, without waiting for it. The caller kills the lease at the end.

        Raises:
            SandboxUnavailableError: Uploaded mods cannot run.
            EngineOverloadedError: Too many workers have a mod.
        """
        if self._reason:
            raise SandboxUnavailableError(f"uploaded mods cannot run: {self._reason}")
        if error := self._models.get(request.model, "it is not known to the sandbox"):
            raise SandboxUnavailableError(
                f"uploaded mods cannot run with model {request.model!r}: {error}"
            )
        return self.lease_untested(request)

    def lease_untested(self, request: LeaseRequest, *, describes: bool = False) -> Lease:
        """Do what `lease` does, even if the sandbox has not been tested."""
        begin = Begin(
            source=request.source,
            parameters=Raw(msgspec.msgpack.encode(request.parameters)),
            strict=request.strict,
            param=request.param,
            model=request.model,
            request_id=request.request_id,
            conversation=request.conversation,
            given=request.given,
            channels=request.channels,
            describes=describes,
        )
        worker = self.pool.take()
        self._notify()
        return Lease(worker, begin, self.options)

    def describe(self, source: ModSource, about: Mapping[str, Any]) -> Described:
        """Load a mod in a worker, and describe it. Waits for it, at most some seconds.

        Args:
            source: The mod.
            about: Fields to add to the description.

        Raises:
            SandboxUnavailableError: Uploaded mods cannot run.
            EngineOverloadedError: Too many workers have a mod.
            ConcordanceError: The mod cannot be loaded.
        """
        if self._reason:
            raise SandboxUnavailableError(f"uploaded mods cannot run: {self._reason}")
        lease = self.lease_untested(LeaseRequest(source=source, parameters=about), describes=True)
        try:
            outcome = wait_for(lease)
        finally:
            lease.kill()
        if isinstance(outcome, LeaseFailed):
            raise outcome.error
        assert isinstance(outcome, Described)
        return outcome

    # The thread

    def _notify(self) -> None:
        os.write(self._waker, b"x")

    def _run(self) -> None:
        backoff = 0.0
        while not self._is_stopping.wait(backoff):
            started = time.monotonic()
            self._run_zygote()
            is_healthy = time.monotonic() - started > _HEALTHY_S
            backoff = _FIRST_BACKOFF_S if is_healthy else _next(backoff)
            if not self._is_stopping.is_set():
                logger.error("the zygote of the sandbox has ended; it is started again")

    def _run_zygote(self) -> None:
        """Start a zygote and serve it until it ends."""
        try:
            link = ZygoteLink(self.options.python)
        except OSError as exc:
            self._reason = f"the process that starts workers cannot be started: {exc}"
            return
        self.pool.connect(link)
        self._reason = ""
        try:
            self._serve(link)
        finally:
            self._reason = "the process that starts workers is being started"
            link.end()
            self.pool.disconnect()

    def _serve(self, link: ZygoteLink) -> None:
        poll = select.poll()
        poll.register(link.socket, select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        while not self._is_stopping.is_set():
            ready = [fd for fd, _ in poll.poll()]
            if self._wakes in ready:
                os.read(self._wakes, 4096)
                self.pool.refill()
            if link.socket.fileno() in ready:
                if (messages := link.receive()) is None:
                    return
                for message, fd in messages:
                    self._report(message, fd)

    def _report(self, message: control.FromZygote, fd: int) -> None:
        match message:
            case control.Forked(worker, pid):
                self.pool.forked(worker, pid, fd)
            case control.Exited(worker, status, error):
                self.pool.exited(worker, status, error)
            case control.ModelAdded(model, error):
                self._models[model] = error
                if error:
                    logger.error("workers cannot load the tokenizer of %r: %s", model, error)
            case control.Started():
                pass


def _next(backoff: float) -> float:
    return min(max(2 * backoff, _FIRST_BACKOFF_S), _MAX_BACKOFF_S)


def wait_for(lease: Lease) -> Any:
    """Wait for the next outcome of a lease: for tests, and threads that may wait."""
    while (outcome := lease.poll()) is None:
        seconds = max(0.0, min(lease.deadline - time.monotonic(), 1.0))
        if lease.fileno() >= 0:
            select.select([lease.fileno()], [], [], seconds)
        else:
            time.sleep(0.0005)
    return outcome
