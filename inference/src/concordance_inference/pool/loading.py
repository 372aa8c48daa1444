"""Loads models one at a time, and evicts others for their memory."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Protocol, TypeVar

from concordance_shared import EngineOverloadedError

from concordance_inference.pool.entry import Entry, RunningModel
from concordance_inference.pool.memory import MemoryBudget, in_gb
from concordance_inference.pool.spec import ModelSpec

Result = TypeVar("Result")

#: Seconds that a request waits for memory that other models use.
WAIT_S = 120.0

#: Seconds between two checks for models that no request uses any more.
_POLL_S = 0.05

#: Models that are located, downloaded, loaded or released at the same time.
_NUM_THREADS = 4


class ModelsBusyError(EngineOverloadedError):
    """A model has to wait for memory that other models use."""

    status_code: ClassVar[int] = 503
    code: ClassVar[str] = "overloaded"


class ModelSource(Protocol):
    """Locates and loads models. Its methods block."""

    def estimate(self, spec: ModelSpec) -> int:
        """Return the bytes of a model's weights if it is on this machine, 0 otherwise."""
        ...

    def weigh(self, spec: ModelSpec) -> int:
        """Convert or download a model if needed; return the bytes of its weights, 0 if unknown.

        Raises:
            ModelLoadError: It cannot be found.
        """
        ...

    def start(self, spec: ModelSpec, kv_bytes: int | None) -> RunningModel:
        """Load a model and start its engine.

        Args:
            spec: The model.
            kv_bytes: The memory for its caches; `None` for the default.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        ...


class ModelLoader:
    """Decides which models of a pool are loaded. Runs on the event loop, and works on threads.

    Attributes:
        is_stopping: A model that is being loaded is stopped at once.
    """

    def __init__(
        self,
        entries: Mapping[str, Entry],
        source: ModelSource,
        *,
        budget: MemoryBudget | None,
        wait_s: float,
    ) -> None:
        """Start no threads; see `ModelPool` for the arguments."""
        self.is_stopping = False
        self._entries = entries
        self._source = source
        self._budget = budget
        self._wait_s = wait_s
        self._turn = asyncio.Lock()
        self._executor = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="models")

    async def load(self, entry: Entry) -> None:
        """Load a model unless it is loaded.

        Raises:
            ModelLoadError: It cannot be loaded.
            ModelTooLargeError: It does not fit into the memory for models.
            ModelsBusyError: Other models use the memory.
        """
        if not entry.is_usable:
            entry.weights = await self._blocking(lambda: self._source.weigh(entry.spec))
        async with self._turn:
            if entry.is_usable:
                return
            await self.free(entry)  # an engine that has stopped
            kv_bytes = await self._reserve(entry)
            try:
                running = await self._blocking(lambda: self._source.start(entry.spec, kv_bytes))
            except BaseException:
                entry.reserved = 0
                raise
            entry.put(running)
            if self.is_stopping:
                await self._blocking(running.stop)

    async def free(self, entry: Entry) -> bool:
        """Free the memory of a model that no request uses; False if it is in use or not loaded."""
        running = entry.take_idle()
        if running is None:
            return False
        await self._blocking(running.release)
        entry.reserved = 0
        return True

    def free_idle(self, idle_s: float) -> None:
        """Free the memory of models that no request has used for a time. Blocks."""
        for entry in self._by_last_use():
            if time.monotonic() - entry.last_used < idle_s:
                return
            if running := entry.take_idle():
                running.release()
                entry.reserved = 0

    async def _reserve(self, entry: Entry) -> int | None:
        """Make room for a model; return the bytes for its caches."""
        if self._budget is None:
            return None
        await self._blocking(self._estimate_all)
        all_weights = [other.weights for other in self._entries.values()]
        kv_bytes = self._budget.cache_bytes(entry.spec.name, entry.weights, all_weights)
        await self._make_room(entry, entry.weights + kv_bytes, self._budget.total)
        return kv_bytes

    def _estimate_all(self) -> None:
        """Set the weights of models that have not been loaded yet."""
        for entry in self._entries.values():
            entry.weights = entry.weights or self._source.estimate(entry.spec)

    async def _make_room(self, entry: Entry, needed: int, total: int) -> None:
        """Evict models until the needed bytes are free, and reserve them.

        Raises:
            ModelsBusyError: Requests use the other models for too long.
        """
        deadline = time.monotonic() + self._wait_s
        try:
            while self._reserved() + needed > total:
                if await self._evict_one():
                    continue
                self._drain(self._reserved() + needed - total)
                if time.monotonic() >= deadline:
                    raise self._busy(entry, needed, total)
                await asyncio.sleep(_POLL_S)
        finally:
            for other in self._entries.values():
                other.is_draining = False
        entry.reserved = needed

    def _reserved(self) -> int:
        return sum(entry.reserved for entry in self._entries.values())

    def _by_last_use(self) -> list[Entry]:
        loaded = [entry for entry in self._entries.values() if entry.running]
        return sorted(loaded, key=lambda entry: entry.last_used)

    async def _evict_one(self) -> bool:
        """Evict the model that was used least recently and is not in use; False if all are."""
        for entry in self._by_last_use():
            if await self.free(entry):
                return True
        return False

    def _drain(self, num_bytes: int) -> None:
        """Hold back new requests of the least recently used models that have this many bytes."""
        for entry in self._by_last_use():
            if num_bytes <= 0:
                return
            entry.is_draining = True
            num_bytes -= entry.reserved

    def _busy(self, entry: Entry, needed: int, total: int) -> ModelsBusyError:
        used = ", ".join(
            f"{other.spec.name!r} {in_gb(other.reserved)} ({other.num_requests} requests)"
            for other in self._by_last_use()
        )
        return ModelsBusyError(
            f"the model {entry.spec.name!r} needs {in_gb(needed)} of the {in_gb(total)} for models "
            f"(--model-memory), and requests use the others: {used}; try again later",
            param="model",
        )

    async def _blocking(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
