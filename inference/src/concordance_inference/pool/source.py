"""Locates and loads models for a pool."""

import gc
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import msgspec
from concordance_shared import ModelLoadError

from concordance_inference.engine.config import EngineConfig
from concordance_inference.models.loader import locate_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.places import present_folder
from concordance_inference.models.sizes import model_size
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.mods.compiling import prepare_constraints
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.runtime import Runtime


@contextmanager
def _streams_cleared() -> Generator[None]:
    """Clear the mlx streams of this thread: one that ends with some aborts the process."""
    try:
        yield
    finally:
        mx.synchronize()
        mx.clear_streams()


class RuntimeSource:
    """Starts a `Runtime` for each model, all with the same mods, limits and options."""

    def __init__(
        self,
        mods: ModCatalog,
        *,
        config: EngineConfig,
        options: ModelOptions,
        locks_memory: bool,
        progress: Callable[[str], None],
    ) -> None:
        """Keep the options; see `Runtime`."""
        self._mods = mods
        self._config = config
        self._options = options
        self._locks_memory = locks_memory
        self._progress = progress

    def estimate(self, spec: ModelSpec) -> int:
        """Return the bytes of a model's weights if it is on this machine, 0 otherwise."""
        try:
            with _streams_cleared():
                folder = present_folder(spec.place)
                return self._size(folder) if folder else 0
        except (ModelLoadError, OSError):
            return 0  # an error of the requests that name it

    def weigh(self, spec: ModelSpec) -> int:
        """Convert or download a model if needed; return the bytes of its weights, 0 if unknown.

        Raises:
            ModelLoadError: It cannot be found.
        """
        with _streams_cleared():
            return self._size(locate_model(spec.place, progress=self._progress))

    def _size(self, folder: Path) -> int:
        return model_size(folder, self._options).weight_bytes

    def start(self, spec: ModelSpec, kv_bytes: int | None) -> Runtime:
        """Load a model and start its engine.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        config = self._config
        if kv_bytes is not None:
            config = msgspec.structs.replace(config, kv_bytes=kv_bytes)
        runtime = Runtime(
            spec.place,
            self._mods,
            config=config,
            options=msgspec.structs.replace(self._options, id=spec.name),
            locks_memory=self._locks_memory,
            progress=self._progress,
        ).start()
        prepare_constraints(runtime.loaded.tokenizer)
        # What is loaded lives long: a full collection would traverse all of it and stall every
        # stream. What is unloaded later is freed without a collection.
        gc.freeze()
        return runtime
