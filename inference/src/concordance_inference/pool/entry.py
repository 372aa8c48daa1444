"""One model of a pool: its state, its memory, and the requests that use it."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from concordance_shared import ConcordanceError

from concordance_inference.chat.format import ChatFormat
from concordance_inference.generation import EmbeddingClient, EngineClient, ModelInfo
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.server.model_use import ModelUse
from concordance_inference.server.served_models import ServedModel

if TYPE_CHECKING:
    import asyncio

    from concordance_inference.pool.memory import ModelFacts

#: A model that could not be loaded is not tried again for this long, in seconds.
FAILURE_S = 5.0


class EngineState(Protocol):
    """What the pool asks of an engine."""

    @property
    def num_unfinished(self) -> int:
        """Number of running and waiting requests."""
        ...

    @property
    def is_stuck(self) -> bool:
        """True if a mod's code keeps the engine from all requests."""
        ...

    is_abandoned: bool  # it was stopped while a mod's code did not return


class RunningModel(EngineClient, Protocol):
    """A loaded model with its engine."""

    @property
    def engine(self) -> EngineState:
        """The state of its engine."""
        ...

    @property
    def chat(self) -> ChatFormat:
        """The model's chat format."""
        ...

    @property
    def embedder(self) -> EmbeddingClient | str:
        """What makes embeddings; a string that says why the model makes none."""
        ...

    def stop(self) -> None:
        """End every request and stop the engine."""
        ...

    def release(self) -> None:
        """Stop the engine and free the model's memory."""
        ...


class Entry:
    """A model that may be loaded. Requests hold it from background threads; the rest is the pool's.

    Attributes:
        spec: The model.
        info: Its description, known once it has been loaded.
        facts: What is known of its size; `None` until it was looked at.
        reserved: Bytes that it has of the budget, without the weights that models share.
        loading: The task that loads it.
        is_draining: New requests wait, so that the model can be evicted.
    """

    def __init__(self, spec: ModelSpec) -> None:
        """Describe a model that is not loaded."""
        self.spec = spec
        self.info: ModelInfo | None = None
        self.facts: ModelFacts | None = None
        self.reserved = 0
        self.loading: asyncio.Task[None] | None = None
        self.is_draining = False
        self.last_used = time.monotonic()
        self._lock = threading.Lock()
        self._running: RunningModel | None = None
        self._num_held = 0
        self._num_waiting = 0
        self._failure: tuple[float, ConcordanceError] | None = None

    @property
    def status(self) -> Literal["loaded", "loading", "unloaded"]:
        """The state of the model, as clients see it."""
        if self._running is not None:
            return "loaded"
        return "loading" if self.loading else "unloaded"

    @property
    def running(self) -> RunningModel | None:
        """The loaded model."""
        return self._running

    @property
    def is_usable(self) -> bool:
        """True if the model is loaded and its engine accepts requests."""
        return self._running is not None and self._running.is_running

    @property
    def num_requests(self) -> int:
        """Number of requests that use the model or wait for it."""
        return self._num_in_use + self._num_waiting

    @property
    def _num_in_use(self) -> int:
        return max(self._num_held, self.num_unfinished)

    @property
    def num_unfinished(self) -> int:
        """Number of requests that the engine runs or that wait for it."""
        running = self._running
        return running.engine.num_unfinished if running else 0

    @property
    def served(self) -> ServedModel | None:
        """The model as requests use it; `None` unless it is loaded."""
        running = self._running
        if running is None:
            return None
        embedder = running.embedder
        if isinstance(embedder, str):
            return ServedModel(engine=running, chat=running.chat, no_embedder=embedder)
        return ServedModel(engine=running, chat=running.chat, embedder=embedder)

    def hold(self) -> None:
        """Count a request that uses the model."""
        with self._lock:
            self._num_held += 1

    def release(self) -> None:
        """Count a request less."""
        with self._lock:
            self._num_held -= 1
            self.last_used = time.monotonic()

    @contextmanager
    def awaited(self) -> Generator[None]:
        """Count a request that waits for the model in the block."""
        with self._lock:
            self._num_waiting += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_waiting -= 1

    def serve_to(self, use: ModelUse | None, *, even_draining: bool = False) -> ServedModel | None:
        """Return the model, held until the request ends; `None` if it has to be loaded first."""
        self.hold()  # against `take_idle`
        try:
            is_admitted = even_draining or not self.is_draining or (use and use.holds(self))
            if not self.is_usable or not is_admitted:
                return None
            if use:
                use.add(self)
            return self.served
        finally:
            self.release()

    def put(self, running: RunningModel) -> None:
        """Serve a model that was loaded."""
        with self._lock:
            self._running, self.info = running, running.model
            self.last_used = time.monotonic()
            self._failure = None

    def take_idle(self) -> RunningModel | None:
        """Return the running model and serve it no longer; `None` if it is in use."""
        with self._lock:
            num = self._num_in_use if self.is_draining else self.num_requests
            if self._running is None or (num and self._running.is_running):
                return None
            running, self._running = self._running, None
            return running

    def fail(self, error: ConcordanceError) -> None:
        """Remember why the model could not be loaded."""
        self._failure = (time.monotonic(), error)

    @property
    def recent_failure(self) -> ConcordanceError | None:
        """Why the model could not be loaded a moment ago."""
        if self._failure and time.monotonic() < self._failure[0] + FAILURE_S:
            return self._failure[1]
        return None
