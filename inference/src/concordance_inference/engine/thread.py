"""Runs an engine on a thread of its own, which exchanges plain data with other threads."""

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

import msgspec
from concordance_sdk.host.call_in_progress import CallInProgress
from concordance_shared import (
    EngineError,
    EngineStoppedError,
)

from concordance_inference.call_watchdog import (
    REPORT_AFTER_S,
    CallWatchdog,
    call_on,
    wait_unless_stuck,
)
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.request.instances import READY_S, make_instances_within
from concordance_inference.engine.scheduling.overload import queue_is_full, retry_after_s
from concordance_inference.engine.supervision.inbox import Call
from concordance_inference.engine.supervision.loop import Build, EngineLoop
from concordance_inference.engine.supervision.restarts import (
    RestartPolicy,
    Restarts,
    restarting_error,
)
from concordance_inference.engine.supervision.unfinished import Unfinished
from concordance_inference.engine.supervision.update_stream import Mailbox, UpdateStream
from concordance_inference.generation import EngineHealth, GenerationRequest, ModelInfo
from concordance_inference.metrics_snapshot import MetricsSnapshot, mean_service_s

if TYPE_CHECKING:
    from concordance_inference.engine.config import ModelTraits
    from concordance_inference.engine.engine import Engine

logger = logging.getLogger(__name__)

#: A handler that has not returned for this long, in seconds, keeps the engine from handling other
#: requests, and is not waited for when the engine is stopped.
STUCK_S = 3.0


class EngineThread:
    """An engine that any number of threads and event loops can use.

    `start` waits until the model is loaded; use it as a context manager or call `stop`.
    """

    def __init__(
        self,
        build: Build,
        *,
        max_unfinished: int,
        num_rows: int = EngineConfig().max_rows,
        step_limit_s: float = EngineConfig().step_limit_s,
        restarts: RestartPolicy | None = None,
    ) -> None:
        """Keep `build` for the engine's thread, which `start` starts.

        Args:
            build: Loads the model and makes the engine; called again for each restart.
            max_unfinished: Maximum number of running and waiting requests.
            num_rows: Those of them that run together.
            step_limit_s: A step that takes longer is reported.
            restarts: When an engine that failed is restarted.
        """
        self._max_unfinished = max_unfinished
        self._num_rows = num_rows
        self._unfinished = Unfinished()
        self._loop = EngineLoop(
            build,
            self._unfinished,
            step_limit_s=step_limit_s,
            restarts=Restarts(restarts or RestartPolicy()),
        )
        self._thread = self._loop.thread
        self._mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = (
            weakref.WeakKeyDictionary()
        )
        self._is_stopping = False
        self._watchdog = CallWatchdog(self._thread, also=self._loop.steps.look)
        self.is_abandoned = False  # a mod's handler did not return when the engine was stopped

    @property
    def model(self) -> ModelInfo:
        """The served model."""
        assert self._loop.model is not None, "started"
        return self._loop.model

    @property
    def traits(self) -> "ModelTraits | None":
        """What the engine needs of the model, once started. Any thread may read them."""
        return self._loop.traits

    @property
    def is_running(self) -> bool:
        """True if the engine accepts requests, or will do so after a restart."""
        return self._thread.is_alive() and not self._is_stopping and not self._loop.is_over

    @property
    def num_unfinished(self) -> int:
        """Number of running and waiting requests."""
        return len(self._unfinished)

    @property
    def num_restarts(self) -> int:
        """How often the engine was restarted."""
        return self._loop.restarts.total

    @property
    def stuck_call(self) -> CallInProgress | None:
        """The call of a mod's code that has kept the engine from all requests for a second."""
        return call_on(self._thread, longer_than_s=REPORT_AFTER_S)

    @property
    def is_stuck(self) -> bool:
        """True if a mod's code has kept the engine from all requests for `STUCK_S`."""
        return call_on(self._thread, longer_than_s=STUCK_S) is not None

    @property
    def health(self) -> EngineHealth:
        """What the engine is doing."""
        if not self.is_running:
            return EngineHealth(status="stopped")
        if self._loop.ready_at is not None:
            return EngineHealth(status="restarting", retry_after_s=self._loop.retry_after_s)
        call, step = self.stuck_call, self._loop.steps.slow_step
        return EngineHealth(status="stuck" if call or step else "ok", call=call, step=step)

    @property
    def is_current(self) -> bool:
        """True on the engine's thread."""
        return threading.current_thread() is self._thread

    def metrics(self) -> MetricsSnapshot:
        """Return a copy of the engine's metrics."""
        return msgspec.structs.replace(self._loop.metrics(), restarts=self.num_restarts)

    def start(self) -> Self:
        """Start the thread and wait for the model.

        Raises:
            BaseException: The error raised by `build`.
        """
        self._thread.start()
        self._loop.ready.wait()
        if self._loop.failure:
            self._thread.join()  # a process that exits while the thread frees arrays is aborted
            raise self._loop.failure
        self._watchdog.start()
        return self

    def stop(self) -> None:
        """End all requests with an error, then the thread.

        Does not join a thread on which a handler of a mod does not return (`is_abandoned`).
        """
        self._is_stopping = True
        self._loop.inbox.put(None)
        self._watchdog.stop()
        # A mod, or the garbage collector while a mod runs, may call this on the engine's thread.
        if self.is_abandoned or self.is_current:
            return
        if call := wait_unless_stuck(self._thread, longer_than_s=STUCK_S):
            # All requests end although the thread is in a mod's code.
            self.is_abandoned = True
            logger.error("the engine is stopped without its thread: %s", call)
            self._unfinished.end_all(EngineStoppedError(f"the engine is stopping, and {call}"))

    def release(self) -> None:
        """Drop the engine, with its weights and caches, after `stop`."""
        self._loop.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Hand over a request; `emit` is called on the engine's thread with its updates.

        Raises:
            EngineOverloadedError: `max_unfinished` requests run or wait.
            EngineStoppedError: The engine has stopped, or is being restarted.
            EngineError: A handler of a mod calls this: the engine would wait for itself.
        """
        if self.is_current:
            raise EngineError(
                "a mod's handler runs on the engine's thread and cannot generate with this model: "
                "the engine would wait for itself; use a self-prompt or a flow, or generate before "
                "the request"
            )
        with self._unfinished.lock:  # against `stop`: accepted requests get their `Failed`
            self._check_accepts()
            self._loop.inbox.put((request, self._unfinished.add(emit)))

    def _check_accepts(self) -> None:
        if not self.is_running:
            raise EngineStoppedError("the engine has stopped and takes no requests")
        if self._loop.ready_at is not None:
            raise restarting_error(self._loop.retry_after_s)
        if self.num_unfinished >= self._max_unfinished:
            num_waiting = self.num_unfinished - self._num_rows
            metrics = self._loop.metrics()
            mean_s = mean_service_s(metrics.latency_s, metrics.queue_s)
            retry_s = retry_after_s(mean_s, num_waiting=num_waiting, num_rows=self._num_rows)
            raise queue_is_full(self.num_unfinished, retry_s)

    def cancel(self, request_id: str) -> None:
        """End a request whose client has left."""
        self._loop.inbox.put(request_id)

    def call(self, run: "Callable[[Engine], None]", refuse: Callable[[EngineError], None]) -> None:
        """Run code between two steps, on the engine's thread.

        Args:
            run: The code.
            refuse: Called instead if the engine has stopped or is being restarted.
        """
        with self._unfinished.lock:
            if self.is_running:
                self._loop.inbox.put(Call(run, refuse))
                return
        refuse(EngineStoppedError("the engine has stopped"))

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Create the instances of a request's mods on the calling thread.

        Otherwise the engine creates them between two steps, when the request gets a row.

        Raises:
            ModError: A mod raised, or was not ready in time.
            RequestError: A mod rejects the request.
        """
        if not request.mods:
            return request
        assert self.traits is not None, "started"
        instances = make_instances_within(READY_S, request, self.traits)
        return msgspec.structs.replace(request, instances=instances)

    def generate(self, request: GenerationRequest) -> UpdateStream:
        """Run a request; updates come as they happen, `Completed` or `Failed` last.

        Iterating raises `EngineOverloadedError` if `max_unfinished` requests run or wait, and
        `EngineStoppedError` if the engine has stopped. Closing the iterator cancels the request.
        """
        return UpdateStream(request, self._submit_to_loop, self.cancel)

    def _submit_to_loop(self, request: GenerationRequest, receive: Emit) -> None:
        """Submit a request whose updates are received on the event loop that runs."""
        loop = asyncio.get_running_loop()
        mailbox = self._mailboxes.get(loop)
        if mailbox is None:
            mailbox = self._mailboxes[loop] = Mailbox(loop)
        self.submit(request, partial(mailbox.post, receive))
