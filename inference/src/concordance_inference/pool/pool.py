"""Loads the models that requests name, and evicts those that are not used."""

import asyncio
import copy
from collections.abc import Collection, Mapping, Sequence
from contextvars import Context
from typing import Self

import msgspec
from concordance_shared import (
    ConcordanceError,
    ConflictError,
    EngineStoppedError,
    UnknownModelError,
)

from concordance_inference.mods.catalog import NamedMod
from concordance_inference.pool.entries import Entries, FindNew
from concordance_inference.pool.entry import Entry, RunningModel
from concordance_inference.pool.loading import (
    WAIT_S,
    ModelLoader,
    ModelsBusyError,
    ModelSource,
    memory_of,
)
from concordance_inference.pool.memory import MemoryBudget
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.server.model_name import parse_model, unknown_model
from concordance_inference.server.model_use import current_use
from concordance_inference.server.served_models import ModelCard, ModelNotLoadedError, ServedModel


class ModelPool:
    """The models of a server (`ServedModels`), of which some are loaded.

    One model is loaded at a time. It gets the memory of the least recently used ones that no
    request uses; if that is not enough, new requests of others wait until it is loaded.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        source: ModelSource,
        *,
        aliases: Mapping[str, str] | None = None,
        budget: MemoryBudget | None = None,
        wait_s: float = WAIT_S,
        find_new: FindNew | None = None,
    ) -> None:
        """Make a pool without loading a model.

        Args:
            specs: The models that requests may name; the first is the default.
            source: Loads models.
            aliases: The model of each additional name.
            budget: The memory for all of them; `None` for a single model, without a limit.
            wait_s: Seconds that a request waits for memory that other models use.
            find_new: Finds models that are stored later; `None`: only `specs` may be named.
        """
        self._entries = Entries(specs, find_new)
        self._aliases = dict(aliases or {})
        self._loader = ModelLoader(self._entries, source, budget=budget, wait_s=wait_s)
        self._is_stopping = False

    @property
    def names(self) -> Collection[str]:
        """The names of all models, the default first, and their aliases."""
        return [*self._entries, *self._aliases]

    @property
    def loaded(self) -> Sequence[ServedModel]:
        """The models that are loaded."""
        return [served for entry in self._entries.values() if (served := entry.served)]

    @property
    def running(self) -> Sequence[RunningModel]:
        """The loaded models with their engines."""
        return [running for entry in self._entries.values() if (running := entry.running)]

    def cards(self) -> Sequence[ModelCard]:
        """Describe all models, the default first."""
        return [self._card(entry) for entry in self._entries.values()]

    def _card(self, entry: Entry) -> ModelCard:
        name = entry.spec.name
        return ModelCard(
            name=name,
            status=entry.status,
            info=entry.info,
            aliases=tuple(alias for alias, of in self._aliases.items() if of == name),
            parent=entry.spec.parent,
            adapters=tuple(
                each.spec.name for each in self._entries.values() if each.spec.parent == name
            ),
            memory_bytes=memory_of(entry) if entry.running and entry.reserved else None,
            num_requests=entry.num_unfinished,
        )

    def named(self, model: str | None) -> ServedModel:
        """Return the model that a request names, which keeps it loaded; thread-safe.

        Raises:
            UnknownModelError: There is no such model.
            ModelNotLoadedError: It is not loaded.
            EngineStoppedError: The server is stopping.
        """
        name, mods = self._parsed(model) if model is not None else (self.default, ())
        entry = self._entry(name)
        served = entry.serve_to(current_use())
        if served is None:
            self._check_running()
            raise ModelNotLoadedError(entry.spec.name)
        return msgspec.structs.replace(served, mods=mods) if mods else served

    def _parsed(self, model: str) -> tuple[str, tuple[NamedMod, ...]]:
        try:
            return parse_model(model, self.names)
        except UnknownModelError:
            if not self.look_again():
                raise
        return parse_model(model, self.names)

    def look_again(self) -> bool:
        """Add the models that were stored since the start; True if there are new ones. Blocks."""
        return self._entries.add_new(self._aliases)

    @property
    def default(self) -> str:
        """The name of the model of requests that name none."""
        return next(iter(self._entries))

    @property
    def is_stuck(self) -> bool:
        """True if no response can continue, since a mod's code keeps an engine from all."""
        busy = [running for running in self.running if running.engine.num_unfinished]
        return bool(busy) and all(running.engine.is_stuck for running in busy)

    @property
    def unstoppable(self) -> str | None:
        """Why a thread of a model has not ended after `stop`."""
        if any(running.engine.is_abandoned for running in self.running):
            return "a handler of a mod does not return"
        if any(entry.loading for entry in self._entries.values()):
            return "a model is still being loaded"
        return None

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(self._aliases.get(name, name))
        if entry is None:
            raise unknown_model(name, self.names)
        return entry

    def _check_running(self) -> None:
        if self._is_stopping:
            raise EngineStoppedError("the server is stopping and loads no models")

    async def load(self, name: str) -> None:
        """Load a model unless it is loaded. The present request then keeps it loaded.

        Cancelling does not cancel the loading, which others may wait for.

        Raises:
            UnknownModelError: There is no such model.
            ModelLoadError: It cannot be loaded.
            ModelTooLargeError: It does not fit into the memory for models.
            ModelsBusyError: Other models use the memory.
            EngineStoppedError: The server is stopping.
        """
        if name not in self.names:
            await asyncio.to_thread(self.look_again)
        entry = self._entry(name)
        self._check_running()
        if entry.is_usable and not entry.is_draining:
            return
        if failure := entry.recent_failure:
            raise copy.copy(failure)
        with entry.awaited():
            try:
                await asyncio.shield(self._loading(entry))
            except ConcordanceError as exc:
                raise copy.copy(exc) from exc
            entry.serve_to(current_use(), even_draining=True)

    def _loading(self, entry: Entry) -> asyncio.Task[None]:
        """The task that loads a model, for all requests that name it."""
        if entry.loading is None:
            loading = self._loader.load(entry)
            task = asyncio.get_running_loop().create_task(loading, context=Context())
            task.add_done_callback(lambda task: _ended(entry, task))
            entry.loading = task
        return entry.loading

    async def unload(self, name: str) -> None:
        """Unload a model.

        Raises:
            UnknownModelError: There is no such model.
            ConflictError: Requests use it.
        """
        entry = self._entry(name)
        if not await self._loader.free(entry) and entry.running:
            raise ConflictError(
                f"{entry.num_requests} requests use the model {entry.spec.name!r}; unload it when "
                "they have ended",
                param="model",
            )

    def unload_idle(self, idle_s: float) -> None:
        """Unload the models that no request has used for a time. Blocks."""
        self._loader.free_idle(idle_s)

    def stop(self) -> None:
        """End every request and stop all engines."""
        self._is_stopping = self._loader.is_stopping = True
        for running in self.running:
            running.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ended(entry: Entry, task: asyncio.Task[None]) -> None:
    """Remember the outcome of loading a model."""
    entry.loading = None
    if task.cancelled():
        return
    error = task.exception()  # retrieved, also if no request waits for it
    if isinstance(error, ConcordanceError) and not isinstance(error, ModelsBusyError):
        entry.fail(error)
