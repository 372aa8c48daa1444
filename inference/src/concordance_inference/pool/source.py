"""Locates and loads models for a pool."""

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import mlx.core as mx
import msgspec
from concordance_shared import ModelLoadError

from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import ModelInfo
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.models.adapters import replaces_weights
from concordance_inference.models.given_names import default_id
from concordance_inference.models.loader import locate_model, sampling_of
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.places import present_folder
from concordance_inference.models.sizes import model_size
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.mods.compiling import prepare_constraints
from concordance_inference.pool.entry import RunningModel
from concordance_inference.pool.memory import ModelFacts
from concordance_inference.pool.spec import ModelSpec
from concordance_inference.resume.ended import EndedCompletions
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
        hosted_tools: HostedTools | None = None,
        progress: Callable[[str], None],
    ) -> None:
        """Keep the options; see `Runtime`."""
        self._mods = mods
        self._config = config
        self._options = options
        self._locks_memory = locks_memory
        self._hosted_tools = hosted_tools
        self._progress = progress
        self._ended = EndedCompletions(config.resume_s)

    def estimate(self, spec: ModelSpec) -> ModelFacts:
        """Return what is known of a model if it is on this machine, nothing otherwise."""
        try:
            with _streams_cleared():
                folder = present_folder(spec.place)
                return self._facts(spec, folder) if folder else ModelFacts()
        except (ModelLoadError, OSError):
            return ModelFacts()  # an error of the requests that name it

    def locate(self, spec: ModelSpec) -> ModelFacts:
        """Convert or download a model if needed; return what is known of it.

        Raises:
            ModelLoadError: It cannot be found.
        """
        with _streams_cleared():
            return self._facts(spec, locate_model(spec.place, progress=self._progress))

    def _facts(self, spec: ModelSpec, folder: Path) -> ModelFacts:
        options = self._options_of(spec)
        base = model_size(folder, msgspec.structs.replace(options, adapter_path=None))
        path = options.adapter_path
        whole = model_size(folder, options) if path else base
        replaces = path is not None and replaces_weights(path)
        return ModelFacts(
            base_bytes=base.weight_bytes,
            adapter_bytes=whole.weight_bytes - (0 if replaces else base.weight_bytes),
            info=ModelInfo(
                id=spec.name,
                created=int(time.time()),
                context_length=whole.context_length,
                vocab_size=0,  # not needed before it is loaded
                sampling=sampling_of(default_id(spec.place), folder, options),
            ),
        )

    def _options_of(self, spec: ModelSpec) -> ModelOptions:
        path = spec.adapter or self._options.adapter_path
        return msgspec.structs.replace(self._options, id=spec.name, adapter_path=path)

    def start(
        self,
        spec: ModelSpec,
        kv_bytes: int | None,
        *,
        shares: bool,
        beside: RunningModel | None,
    ) -> Runtime:
        """Load a model and start its engine; see `ModelSource.start`.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        config = self._config
        if kv_bytes is not None:
            config = msgspec.structs.replace(config, kv_bytes=kv_bytes)
        base = beside.loaded.base if isinstance(beside, Runtime) else None
        options = self._options_of(spec)
        runtime = Runtime(
            spec.place,
            self._mods,
            config=config,
            options=msgspec.structs.replace(options, shares_base=shares, base=base),
            locks_memory=self._locks_memory,
            hosted_tools=self._hosted_tools,
            ended=self._ended,
            progress=self._progress,
        ).start()
        prepare_constraints(runtime.loaded.tokenizer)
        runtime.chat.prepare()
        # What is loaded lives long: a full collection would traverse all of it and stall every
        # stream. What is unloaded later is freed without a collection.
        gc.freeze()
        return runtime
