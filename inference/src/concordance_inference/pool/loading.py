"""Loads models one at a time, and evicts others for their memory."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Protocol, TypeVar

from concordance_shared import EngineOverloadedError, ModelLoadError

from concordance_inference.pool.entry import Entry, RunningModel
from concordance_inference.pool.memory import MemoryBudget, ModelFacts, in_gb
from concordance_inference.pool.spec import ModelSpec

logger = logging.getLogger(__name__)

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

    def estimate(self, spec: ModelSpec) -> ModelFacts:
        """Return what is known of a model if it is on this machine, nothing otherwise."""
        ...

    def locate(self, spec: ModelSpec) -> ModelFacts:
        """Convert or download a model if needed; return what is known of it.

        Raises:
            ModelLoadError: It cannot be found.
        """
        ...

    def start(
        self,
        spec: ModelSpec,
        kv_bytes: int | None,
        *,
        shares: bool,
        beside: RunningModel | None,
    ) -> RunningModel:
        """Load a model and start its engine.

        Args:
            spec: The model.
            kv_bytes: The memory for its caches; `None` for the default.
            shares: Other models have the same weights, but for adapters.
            beside: One of these that is loaded.

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
            entry.facts = await self._blocking(lambda: self._source.locate(entry.spec))
        async with self._turn:
            if entry.is_usable:
                return
            await self.free(entry)  # an engine that has stopped
            kv_bytes = await self._reserve(entry)
            try:
                running = await self._blocking(lambda: self._start(entry, kv_bytes))
            except BaseException as exc:
                entry.reserved = 0
                if isinstance(exc, ModelLoadError):  # clients receive it without paths
                    logger.warning("%s: %s", entry.spec.name, exc)
                raise
            entry.put(running)
            if self.is_stopping:
                await self._blocking(running.stop)

    def _start(self, entry: Entry, kv_bytes: int | None) -> RunningModel:
        same = [each for each in self._entries.values() if each.spec.place == entry.spec.place]
        beside = next((running for each in same if (running := each.running)), None)
        return self._source.start(entry.spec, kv_bytes, shares=len(same) > 1, beside=beside)

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
        facts = _facts(entry)
        kv_bytes = self._budget.cache_bytes(
            entry.spec.name,
            facts.weight_bytes,
            of_all=_weights(self._entries.values()),
            num_models=len(self._entries),
        )
        await self._make_room(entry, facts.adapter_bytes + kv_bytes, self._budget.total)
        return kv_bytes

    def _estimate_all(self) -> None:
        """Look at the models that have not been loaded yet."""
        for entry in self._entries.values():
            if not _facts(entry).base_bytes:
                entry.facts = self._source.estimate(entry.spec)
                entry.info = entry.info or entry.facts.info

    async def _make_room(self, entry: Entry, own: int, total: int) -> None:
        """Evict models until there is memory for a model, and reserve it.

        Args:
            entry: The model.
            own: The bytes that it needs besides the weights that models share.
            total: The bytes for all models.

        Raises:
            ModelsBusyError: Requests use the other models for too long.
        """
        deadline = time.monotonic() + self._wait_s
        try:
            while (missing := self._reserved(entry) + own - total) > 0:
                if await self._evict_one():
                    continue
                self._drain(missing)
                if time.monotonic() >= deadline:
                    raise self._busy(entry, _facts(entry).base_bytes + own, total)
                await asyncio.sleep(_POLL_S)
        finally:
            for other in self._entries.values():
                other.is_draining = False
        entry.reserved = own

    def _reserved(self, loading: Entry) -> int:
        """The bytes of all loaded models, and of the shared weights of one that is loaded next."""
        loaded = [entry for entry in self._entries.values() if entry.reserved]
        caches = sum(entry.reserved - _facts(entry).adapter_bytes for entry in loaded)
        return caches + _weights([*loaded, loading]) - _facts(loading).adapter_bytes

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
            num_bytes -= entry.reserved + _facts(entry).base_bytes

    def _busy(self, entry: Entry, needed: int, total: int) -> ModelsBusyError:
        used = ", ".join(
            f"{other.spec.name!r} {in_gb(memory_of(other))} ({other.num_requests} requests)"
            for other in self._by_last_use()
        )
        return ModelsBusyError(
            f"the model {entry.spec.name!r} needs {in_gb(needed)} of the {in_gb(total)} for models "
            f"(--model-memory), and requests use the others: {used}; try again later",
            param="model",
        )

    async def _blocking(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)


def memory_of(entry: Entry) -> int:
    """Return the bytes of a loaded model's weights and caches."""
    return entry.reserved + _facts(entry).base_bytes


def _facts(entry: Entry) -> ModelFacts:
    return entry.facts or ModelFacts()


def _weights(entries: Iterable[Entry]) -> int:
    """The bytes of the weights of models, those that models share once."""
    bases: dict[str | None, int] = {}
    adapters: dict[str, int] = {}
    for entry in entries:
        bases[entry.spec.place] = _facts(entry).base_bytes
        adapters[entry.spec.name] = _facts(entry).adapter_bytes
    return sum(bases.values()) + sum(adapters.values())
