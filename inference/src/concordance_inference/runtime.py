"""Wires a model, an engine on its thread, a chat format and mods together."""

import queue
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Any, Self

import msgspec
from concordance_shared import (
    ContextLengthError,
    Conversation,
    InvalidRequestError,
    Message,
)

from concordance_inference.chat.template import ChatTemplate
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.calibration.profile import ModelProfile, profile_of
from concordance_inference.engine.model.memory import default_kv_bytes, lock_memory
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ModCall,
    ModelInfo,
    SamplingParams,
    Update,
    new_request_id,
)
from concordance_inference.models.loader import LoadedModel, explained, load_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.profile_cache import cached_profile
from concordance_inference.mods.catalog import ModCatalog


class Runtime:
    """Everything that answers requests in this process. Use it as a context manager."""

    def __init__(
        self,
        model: str | None,
        mods: ModCatalog,
        *,
        config: EngineConfig | None = None,
        options: ModelOptions | None = None,
        locks_memory: bool = False,
        progress: Callable[[str], None],
    ) -> None:
        """Take what to run; `start` loads it.

        Args:
            model: What to load; `None` for the embedded default.
            mods: The mods that requests can name.
            config: The engine's bounds; what caches may take is found out if it does not say.
            options: How to load the model.
            locks_memory: Whether to keep the weights in memory, come what may.
            progress: Told what is being done.
        """
        config = config or EngineConfig()
        self.mods = mods
        self._model = model
        self._options = options
        self._config = config
        self._locks_memory = locks_memory
        self._progress = progress
        self._loaded: LoadedModel | None = None
        self.engine = EngineThread(self._build, max_unfinished=config.max_rows + config.max_waiting)

    @property
    def loaded(self) -> LoadedModel:
        """The model and its tokenizer."""
        assert self._loaded is not None, "started"
        return self._loaded

    @cached_property
    def chat(self) -> ChatTemplate:
        """The model's chat format."""
        return ChatTemplate(self.loaded.tokenizer, context_length=self.loaded.info.context_length)

    def start(self) -> Self:
        """Load the model and start the engine.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        self.engine.start()
        return self

    def stop(self) -> None:
        """End every request and the engine."""
        self.engine.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _build(self) -> tuple[Engine, ModelInfo]:
        """On the engine's thread: load the model, make the engine."""
        loaded = load_model(self._model, self._options, progress=self._progress)
        self._loaded = loaded
        config = self._config
        if config.kv_bytes is None:
            config = msgspec.structs.replace(config, kv_bytes=default_kv_bytes(loaded.weight_bytes))
        if self._locks_memory:
            lock_memory()
        with explained(f"model {loaded.info.id!r} cannot be run"):
            profile = cached_profile(loaded.folders, lambda: self._profile(loaded.model))
            runner = ModelRunner(loaded.model, profile)
        return Engine(runner, loaded.traits(), config), loaded.info

    def _profile(self, model: Any) -> ModelProfile:
        self._progress("trying out what the model can share")
        return profile_of(model)

    def request(
        self,
        prompt: str | Sequence[Message],
        *,
        mods: Sequence[ModCall] = (),
        max_tokens: int,
        sampling: SamplingParams,
        stop: Sequence[str] = (),
        show_tokens: bool = False,
    ) -> GenerationRequest:
        """A request for the command line: messages by the chat template, text as it is.

        Raises:
            ContextLengthError: The prompt leaves no room.
        """
        if isinstance(prompt, str):
            prompt_ids = self.loaded.tokenizer.encode_prompt(prompt, adds_bos=True)
        else:
            prompt_ids = self.chat.render(prompt)
        room = self.engine.model.context_length - len(prompt_ids)
        if not prompt_ids:
            raise InvalidRequestError("the prompt is empty; there is nothing to continue")
        if room < 1:
            raise ContextLengthError(
                f"a prompt of {len(prompt_ids)} tokens does not fit a context of "
                f"{self.engine.model.context_length}"
            )
        messages = () if isinstance(prompt, str) else tuple(prompt)
        return GenerationRequest(
            request_id=new_request_id(),
            prompt_ids=tuple(prompt_ids),
            max_tokens=min(max_tokens, room),
            sampling=sampling,
            stop=tuple(stop),
            mods=tuple(mods),
            conversation=Conversation(messages=messages),
            stream=not show_tokens,
            show_tokens=show_tokens,
        )

    def updates(self, request: GenerationRequest) -> Generator[Update]:
        """Run a request and wait for its updates; leaving early cancels it.

        Raises:
            ConcordanceError: The request failed.
        """
        updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self.engine.submit(request, updates.put)
        is_over = False
        try:
            while not is_over:
                update = updates.get()
                is_over = isinstance(update, Completed | Failed)
                if isinstance(update, Failed):
                    raise update.error
                if isinstance(update, Completed):
                    self.chat.remember(request.prompt_ids, update)
                yield update
        finally:
            if not is_over:
                self.engine.cancel(request.request_id)
