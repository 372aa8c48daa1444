"""The engine's thread: builds the engine, runs its steps, and restarts it when it fails.

An mlx array can only be evaluated by the thread that built it, so the model is loaded, run and
freed on this thread, and no array leaves it.
"""

import gc
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import mlx.core as mx
from concordance_shared import EngineError, EngineStoppedError

from concordance_inference.engine.engine import Engine
from concordance_inference.engine.supervision.inbox import Inbox, refuse, take_messages
from concordance_inference.engine.supervision.restarts import Restarts, restarting_error
from concordance_inference.engine.supervision.step_watch import StepWatch
from concordance_inference.engine.supervision.unfinished import Unfinished
from concordance_inference.generation import ModelInfo
from concordance_inference.metrics_snapshot import MetricsSnapshot

if TYPE_CHECKING:
    from concordance_inference.engine.config import ModelTraits

logger = logging.getLogger(__name__)

#: Consecutive steps that raise before the engine is restarted instead of continuing.
MAX_FAILURES = 3

Build = Callable[[], tuple[Engine, ModelInfo]]


class EngineLoop:
    """Runs an engine until a stop message. `run` is the body of its thread.

    Attributes:
        inbox: Messages from other threads.
        ready: Set once the model is loaded, or `failure` is why it cannot be.
        ready_at: While the engine is restarted: when it may be ready, by `time.monotonic`.
        is_stopping: True after a stop message.
        is_over: True once no message is handled any more.
    """

    def __init__(
        self, build: Build, unfinished: Unfinished, *, step_limit_s: float, restarts: Restarts
    ) -> None:
        """Keep what the thread needs.

        Args:
            build: Loads the model and makes the engine; called again for each restart.
            unfinished: The requests, which end when the engine does.
            step_limit_s: A step that takes longer is reported.
            restarts: Counts the restarts.
        """
        self.inbox: Inbox = queue.SimpleQueue()
        self.ready = threading.Event()
        self.failure: BaseException | None = None
        self.model: ModelInfo | None = None
        self.traits: ModelTraits | None = None
        self.ready_at: float | None = None
        self.is_stopping = self.is_over = False
        self.thread = threading.Thread(target=self.run, name="engine", daemon=True)
        self.steps = StepWatch(self.thread, limit_s=step_limit_s)
        self.restarts = restarts
        self._build = build
        self._unfinished = unfinished
        self._engine: Engine | None = None
        self._build_s = 0.0
        self._last_metrics: MetricsSnapshot | None = None

    @property
    def retry_after_s(self) -> float:
        """When a restarting engine may be ready, in seconds from now."""
        return max(1.0, (self.ready_at or 0.0) - time.monotonic())

    def metrics(self) -> MetricsSnapshot:
        """Return a copy of the engine's metrics; while it is restarted, the last ones."""
        engine = self._engine
        if engine:
            self._last_metrics = engine.metrics()
        assert self._last_metrics is not None, "started"
        return self._last_metrics

    def release(self) -> None:
        """Drop the engine, with its weights and caches. The thread must have ended."""
        self._engine = None

    def run(self) -> None:
        """Build the engine and serve until a stop message, or until it has failed too often."""
        try:
            self._build_and_serve()
        finally:
            mx.synchronize()
            mx.clear_streams()  # a thread that exits with streams of its own aborts the process

    def _build_and_serve(self) -> None:
        try:
            self._build_engine()
        except BaseException as exc:  # `EngineThread.start` raises it
            self.failure = exc
            return
        finally:
            self.ready.set()
        try:
            while not self._serve_until_failure() and self._restart():
                logger.warning("the engine runs again")
        finally:
            with self._unfinished.lock:
                self.is_over = True
            self._refuse_inbox()

    def _refuse_inbox(self) -> None:
        error = EngineStoppedError("the engine has stopped")
        while not self.inbox.empty():
            refuse(self.inbox.get(), error)
        self._unfinished.end_all(error)

    def _build_engine(self) -> None:
        started = time.monotonic()
        self._engine, self.model = self._build()
        self.traits = self._engine.traits
        self._build_s = time.monotonic() - started

    def _serve_until_failure(self) -> bool:
        """Return True after a stop message, and False once the engine cannot continue."""
        try:
            return self._serve()
        except BaseException as exc:
            logger.exception("the engine cannot continue")
            traceback.clear_frames(exc.__traceback__)  # they hold the engine
            return self.is_stopping

    @property
    def _running(self) -> Engine:
        """The engine. No frame of this thread keeps it: a traceback would keep it in memory."""
        assert self._engine is not None
        return self._engine

    def _serve(self) -> bool:
        """Step while there is work and block while there is none.

        Returns:
            True after a stop message; False after `MAX_FAILURES` steps that raise.
        """
        failures = 0
        while not self.is_stopping and failures < MAX_FAILURES:
            try:
                if take_messages(self.inbox, self._running):
                    self._step()
                else:
                    self.is_stopping = True
                failures = 0
            except BaseException as exc:  # Rust's panics are not an `Exception`
                failures += 1
                logger.exception("the engine raised; every request ends with an error")
                self._running.fail_all(_broken(exc))
                traceback.clear_frames(exc.__traceback__)
        if self.is_stopping:
            self._running.fail_all(EngineStoppedError("the engine is stopping"))
        return self.is_stopping

    def _step(self) -> None:
        self.steps.started_at = time.monotonic()
        try:
            self._running.step()
        finally:
            self.steps.started_at = None

    def _restart(self) -> bool:
        """Free the engine and build it again; return False if it stays stopped.

        Requests that run or wait end with an error: clients retry those that have not begun.
        """
        self._free()
        while (delay_s := self.restarts.next_delay_s()) is not None:
            logger.error("the engine is restarted in %.1f s", delay_s)
            if not self._reject_for(delay_s):
                return False
            try:
                self._build_engine()
            except BaseException:
                logger.exception("the engine cannot be restarted")
            else:
                self.ready_at = None
                return True
        logger.error("the engine failed too often and stays stopped")
        return False

    def _free(self) -> None:
        """End every request, and free the memory of the engine before it is built again."""
        with self._unfinished.lock:
            self.ready_at = time.monotonic() + self._build_s
        self.metrics()  # which last while there is no engine
        self._engine = None
        self._unfinished.end_all(restarting_error(self.retry_after_s))
        gc.collect()
        mx.clear_cache()

    def _reject_for(self, seconds: float) -> bool:
        """Wait; refuse what was submitted before the failure. Return False for a stop message."""
        until = time.monotonic() + seconds
        self.ready_at = until + self._build_s
        while (left_s := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                message = self.inbox.get(timeout=left_s)
                if message is None:
                    return False
                refuse(message, restarting_error(self.retry_after_s))
        return True


def _broken(exc: BaseException) -> EngineError:
    error = EngineError(f"the engine failed in a step: {type(exc).__name__}: {exc}")
    error.__cause__ = exc
    return error
