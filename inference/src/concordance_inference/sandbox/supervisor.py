"""Runs the zygote, and leases workers for uploaded mods."""

import logging
import os
import select
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from concordance_shared import SandboxUnavailableError
from msgspec import Struct

from concordance_inference.sandbox.circuit_breaker import CircuitBreaker
from concordance_inference.sandbox.failure_counts import FailureCounts
from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Described, LeaseFailed
from concordance_inference.sandbox.pool import WorkerPool
from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.requests import LeaseRequest, begin_of
from concordance_inference.sandbox.self_test import faults_of
from concordance_inference.sandbox.served_models import ServedModels
from concordance_inference.sandbox.waiting import wait_for
from concordance_inference.sandbox.zygote_link import ZygoteLink

logger = logging.getLogger(__name__)

#: Seconds before a zygote is started again, the first time and at most. Doubled each time.
_FIRST_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 30.0

#: Milliseconds until a worker that could not be forked is tried again.
_REFILL_MS = 500

#: Seconds until a self-test that failed is repeated.
_RETEST_S = 2.0

_UNTESTED = "the self-test of the sandbox has not finished"

#: A zygote that has run for this long is started again after the first backoff.
_HEALTHY_S = 5.0


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
        self.failures = FailureCounts()  # of mods in requests
        self.breaker = CircuitBreaker()
        self.models = ServedModels(self.pool)
        self._reason = "the sandbox has not been started"
        self._faults: str = _UNTESTED  # of the last self-test; empty if it passed
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._tester = threading.Thread(target=self._test, name="sandbox-test", daemon=True)
        self._is_up = threading.Event()  # a zygote runs
        self._is_stopping = threading.Event()
        self._wakes, self._waker = -1, -1

    # Public

    def start(self) -> None:
        """Start the zygote and a thread that watches it; return at once."""
        self._wakes, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._thread.start()
        self._tester.start()

    def stop(self) -> None:
        """End every worker and the zygote."""
        if self._waker < 0:
            return
        self._is_stopping.set()
        self._is_up.set()
        self._notify()
        self._thread.join()
        self._tester.join()
        os.close(self._wakes)
        os.close(self._waker)
        self._waker = -1

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def status(self) -> SandboxStatus:
        """The state of the sandbox."""
        reason = self._why_not()
        return SandboxStatus(
            is_available=not reason,
            reason=reason,
            num_leased=self.pool.num_leased,
            num_warm=self.pool.num_warm,
        )

    def lease(self, request: LeaseRequest) -> Lease:
        """Give a mod to a worker, without waiting for it. The caller kills the lease at the end.

        Raises:
            SandboxUnavailableError: Uploaded mods cannot run.
            EngineOverloadedError: Too many workers have a mod.
        """
        self._check_available()
        self.models.check(request.model)
        return self._lease(request)

    def _lease(
        self, request: LeaseRequest, *, describes: bool = False, is_test: bool = False
    ) -> Lease:
        begin, width = begin_of(request, describes=describes), self.pool.width_of(request.model)
        worker = self.pool.take(is_test=is_test)
        self._notify()
        return Lease(worker, begin, self.options, width=width)

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
        self._check_available()
        lease = self._lease(LeaseRequest(source=source, parameters=about), describes=True)
        try:
            outcome = wait_for(lease)
        finally:
            lease.kill()
        if isinstance(outcome, LeaseFailed):
            raise outcome.error
        assert isinstance(outcome, Described)
        return outcome

    def _why_not(self) -> str:
        """Return why uploaded mods cannot run; empty if they can."""
        return self._reason or self._faults

    def _check_available(self) -> None:
        if reason := self._why_not():
            raise SandboxUnavailableError(f"uploaded mods cannot run: {reason}")

    # The threads

    def _test(self) -> None:
        """Test the sandbox as soon as a zygote runs, and from time to time."""
        while not self._is_stopping.is_set():
            self._is_up.wait()
            faults = self._found_faults()
            if self._is_stopping.is_set():
                return
            self._faults = "; ".join(faults)
            if faults:
                logger.error("the self-test of the sandbox failed: %s", self._faults)
            self._is_stopping.wait(self.options.test_every_s if not faults else _RETEST_S)

    def _found_faults(self) -> list[str]:
        """Test the sandbox; a test that fails in this process is a fault, too."""
        try:
            return faults_of(lambda request: self._lease(request, is_test=True))
        except Exception as exc:  # the thread must survive it: it repeats the test
            logger.exception("the self-test of the sandbox could not be run")
            return [f"the self-test could not be run: {exc}"]

    def _notify(self) -> None:
        """Wake the thread that forks workers. A full pipe wakes it as well."""
        with suppress(OSError):
            os.write(self._waker, b"x")

    def _run(self) -> None:
        backoff = 0.0
        while not self._is_stopping.wait(backoff):
            started = time.monotonic()
            try:
                self._run_zygote()
            except Exception:  # the thread must survive it: nothing else starts a zygote
                logger.exception("the sandbox failed")
            is_healthy = time.monotonic() - started > _HEALTHY_S
            backoff = _FIRST_BACKOFF_S if is_healthy else _next(backoff)
            if not self._is_stopping.is_set():
                logger.error("the zygote of the sandbox has ended; it is started again")

    def _run_zygote(self) -> None:
        """Start a zygote and serve it until it ends."""
        try:
            link = ZygoteLink(self.options.python, spawns=self.options.spawns)
        except OSError as exc:
            self._reason = f"the process that starts workers cannot be started: {exc}"
            return
        try:
            self.pool.connect(link)
            self._reason = ""
            self._is_up.set()
            self._serve(link)
        finally:
            self._is_up.clear()
            self._reason = "the process that starts workers is being started"
            link.end()
            self.pool.disconnect()

    def _serve(self, link: ZygoteLink) -> None:
        poll = select.poll()
        poll.register(link.socket, select.POLLIN)
        poll.register(self._wakes, select.POLLIN)
        while not self._is_stopping.is_set():
            ready = [fd for fd, _ in poll.poll(_REFILL_MS if self.pool.is_short else None)]
            if self._wakes in ready:
                os.read(self._wakes, 4096)
            if self._wakes in ready or self.pool.is_short:
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
                self.models.loaded(model, error)
            case control.Started():
                pass


def _next(backoff: float) -> float:
    return min(max(2 * backoff, _FIRST_BACKOFF_S), _MAX_BACKOFF_S)
