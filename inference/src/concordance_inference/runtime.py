"""Connects a model, an engine on its own thread, a chat template and mods.

The command line, the server and the Python API all run requests through `Runtime`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, Self, Unpack

import msgspec
from concordance_sdk.host.call_in_progress import CallInProgress
from concordance_shared import Schemas

from concordance_inference.branching.branch import BranchPoint
from concordance_inference.branching.errors import unknown_parent
from concordance_inference.branching.parent import find_completion
from concordance_inference.branching.request import branched_request
from concordance_inference.branching.writing import written
from concordance_inference.branching.written import WrittenCompletion
from concordance_inference.chat.format import ChatFormat
from concordance_inference.chat.formats import chat_format_of
from concordance_inference.chat.reasoning_choice import FREE, ReasoningChoice
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.chat.request import Prompt, RequestOptions, build_request
from concordance_inference.chat.truncation import Truncation
from concordance_inference.embedder import TextEmbedder, embedder_of
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.control.client import EngineControl
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.model.calibration.profile import ModelProfile, profile_of
from concordance_inference.engine.model.memory import default_kv_bytes, lock_memory
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import (
    Completed,
    EngineHealth,
    Failed,
    GenerationRequest,
    ModelInfo,
)
from concordance_inference.harmony.content_fault import content_fault
from concordance_inference.harmony.counts import num_analysis_tokens
from concordance_inference.harmony.parse import ParseCheck
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.metrics_snapshot import MetricsSnapshot
from concordance_inference.models.loader import LoadedModel, explained, load_model
from concordance_inference.models.options import ModelOptions
from concordance_inference.models.profile_cache import cached_profile
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.mods.compiling import prepare_constraints
from concordance_inference.mods.format_mod import format_fault
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import num_reasoning_tokens
from concordance_inference.resume.ended import EndedCompletions
from concordance_inference.resume.request import resumed_request
from concordance_inference.resume.uncut import uncut
from concordance_inference.running_request import RunningRequest, RuntimeUpdates
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_inference.tools.judge import call_fault
from concordance_inference.tools.offer import AUTO, ToolChoice


class Runtime:
    """A loaded model that runs requests. An `EngineClient`, and a context manager.

    It keeps the tokens of every completion for the chat format (`ChatFormat.remember`), so
    that no caller can forget to.
    """

    def __init__(
        self,
        model: str | None,
        mods: ModCatalog,
        *,
        config: EngineConfig | None = None,
        options: ModelOptions | None = None,
        locks_memory: bool = False,
        ended: EndedCompletions | None = None,
        hosted_tools: HostedTools | None = None,
        progress: Callable[[str], None],
    ) -> None:
        """Configure the runtime; `start` loads the model.

        Args:
            model: A folder, a GGUF file, or an id on the hub; `None` for the embedded default.
            mods: The mods that requests can name.
            config: The engine's limits. Memory for caches is chosen by the machine if not set.
            options: How to load the model.
            locks_memory: Keep the weights from being swapped out.
            ended: Keeps completions to resume, also those of other models; its own by default.
            hosted_tools: Tools that are run for models that can call them.
            progress: Called with a description of each step of loading.
        """
        self.mods = mods
        self._name = model
        self._options = options
        self._config = config or EngineConfig()
        self._locks_memory = locks_memory
        self.hosted_tools = HostedTools() if hosted_tools is None else hosted_tools
        self.ended_completions = EndedCompletions(self._config.resume_s) if ended is None else ended
        self._progress = progress
        self._loaded: LoadedModel | None = None
        self._has_tables = False  # those that all constraints share
        self._chat: ChatFormat | None = None
        self._parse_check = ParseCheck(lambda: _vocabulary(self.loaded))
        self.embedder: TextEmbedder | str = "it is not loaded"  # or why there is none
        self.engine = EngineThread(
            self._build,
            max_unfinished=self.max_requests,
            num_rows=self._config.max_rows,
            step_limit_s=self._config.step_limit_s,
        )
        self.control = EngineControl(self.engine, self.hosted_tools.cancel)

    @property
    def loaded(self) -> LoadedModel:
        """The model and its tokenizer."""
        assert self._loaded is not None, "started"
        return self._loaded

    @property
    def chat(self) -> ChatFormat:
        """The format of the model's messages."""
        assert self._chat is not None, "started"
        return self._chat

    @property
    def model(self) -> ModelInfo:
        """The model's name and sizes."""
        return self.engine.model

    @property
    def is_running(self) -> bool:
        """True while requests are accepted."""
        return self.engine.is_running

    @property
    def max_requests(self) -> int:
        """The most requests that may run and wait at the same time."""
        return self._config.max_rows + self._config.max_waiting

    @property
    def stuck_call(self) -> CallInProgress | None:
        """The call of a mod's code that has kept the engine from all requests for a second."""
        return self.engine.stuck_call

    @property
    def health(self) -> EngineHealth:
        """What the engine is doing."""
        return self.engine.health

    def metrics(self) -> MetricsSnapshot:
        """Return a copy of the engine's metrics."""
        return self.engine.metrics()

    def start(self) -> Self:
        """Load the model and start the engine.

        Raises:
            ModelLoadError: It cannot be loaded.
        """
        self.engine.start()
        length = self.loaded.info.context_length
        self._chat = chat_format_of(
            self.loaded.tokenizer,
            context_length=length,
            header_guard=self._options is None or self._options.header_guard,
            hosted_tools=self.hosted_tools,
        )
        self.embedder = embedder_of(self.loaded, self.engine, lambda: self.loaded.model)
        return self

    def stop(self) -> None:
        """End every request and stop the engine."""
        self.engine.stop()

    def release(self) -> None:
        """Stop the engine and free the model's memory; nothing may use the model any more."""
        self.stop()
        if self._loaded is not None:
            _forget_tokenizer(self.mods.sandbox, self.engine.traits)
        self.engine.release()
        self._loaded = self._chat = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _build(self) -> tuple[Engine, ModelInfo]:
        """Load the model and make the engine, on the engine's thread. Repeated by a restart."""
        if self._loaded is not None:  # first, free the weights that the failed engine had
            self._loaded = msgspec.structs.replace(self._loaded, model=None)
            _forget_tokenizer(self.mods.sandbox, self.engine.traits)
        self._loaded = loaded = load_model(self._name, self._options, progress=self._progress)
        config = self._config
        if config.kv_bytes is None:
            config = msgspec.structs.replace(config, kv_bytes=default_kv_bytes(loaded.weight_bytes))
        if self._locks_memory:
            lock_memory()
        with explained(f"model {loaded.info.id!r} cannot be run"):
            profile = cached_profile(
                loaded.folders, partial(_profile, loaded.model, self._progress)
            )
            runner = ModelRunner(loaded.model, profile)
        keep = partial(self.ended_completions.keep, loaded.info.id)
        traits = loaded.traits()
        if self.mods.sandbox is not None:
            self.mods.sandbox.models.serve(traits.tokenizer, width=traits.vocab_size)
        return Engine(runner, traits, config, keep), loaded.info

    def request(  # noqa: PLR0913  # the parts of a request
        self,
        prompt: Prompt,
        *,
        schemas: Schemas | None = None,
        template_options: Mapping[str, Any] | None = None,
        rendering: Rendering = USUAL,
        output: OutputFormat | None = None,
        reasoning: ReasoningChoice = FREE,
        tool_choice: ToolChoice = AUTO,
        truncation: Truncation = "disabled",
        hosted_tools: Sequence[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> GenerationRequest:
        """Make a request for this model; see `build_request`.

        Raises:
            InvalidRequestError: An option does not fit the model, or the prompt is empty.
            ContextLengthError: The prompt leaves no room for a completion.
        """
        return build_request(
            prompt,
            self.chat,
            self.model,
            schemas=schemas,
            template_options=template_options,
            rendering=rendering,
            output=output,
            reasoning=reasoning,
            tool_choice=tool_choice,
            truncation=truncation,
            hosted_tools=hosted_tools,
            **options,
        )

    def resume(self, completion_id: str, changes: Mapping[str, Any]) -> GenerationRequest:
        """Return the request that continues a completion of this model; see `resumed_request`.

        Args:
            completion_id: The id of the response, or of the request.
            changes: Fields of the request that differ from those of the earlier one.

        Raises:
            UnknownCompletionError: It is not kept, or not any more.
            InvalidRequestError: The model has ended it, or it is another model's.
            ContextLengthError: It fills the context.
        """
        traits = self.engine.traits
        assert traits is not None, "started"
        return resumed_request(
            self.ended_completions.find(self.model.id, completion_id),
            changes,
            new_decoder=traits.new_decoder,
            context_length=traits.context_length,
        )

    def branch(self, point: BranchPoint, changes: Mapping[str, Any]) -> GenerationRequest:
        """Return the request for a completion that branches off another; see `branched_request`.

        Args:
            point: Where the branch begins.
            changes: Fields of the request that differ from those of the other one.

        Raises:
            UnknownCompletionError: The other one neither runs nor is kept.
            InvalidRequestError: It is another model's, or the branch is out of range.
            ContextLengthError: The branch fills the context.
        """
        traits = self.engine.traits
        assert traits is not None, "started"
        parent = find_completion(self.engine, self.ended_completions, self.model.id, point.id)
        if parent is None:
            raise unknown_parent(point.id)
        return branched_request(parent, point, changes, traits)

    def written(self, completion_id: str) -> WrittenCompletion | None:
        """Return what a completion of this model says; `None` if it neither runs nor is kept.

        Args:
            completion_id: The id of the response, or of the request.

        Raises:
            InvalidRequestError: It is another model's.
        """
        traits = self.engine.traits
        assert traits is not None, "started"
        found = find_completion(self.engine, self.ended_completions, self.model.id, completion_id)
        return found and written(found, traits.new_decoder)

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Make the instances of a request's mods, on the calling thread.

        Raises:
            ModError: A mod raised, or was not ready in time.
            RequestError: A mod rejected the request.
        """
        if len(request.mods) > request.num_named_mods and not self._has_tables:
            # They take seconds for 200,000 tokens, and are no part of a schema's time limit.
            prepare_constraints(self.loaded.tokenizer)
            self._has_tables = True
        return self.engine.prepare(request)

    def submit(self, request: GenerationRequest) -> RunningRequest:
        """Start a request; iterate over the result for its updates.

        Raises:
            EngineOverloadedError: Too many requests are waiting.
            EngineStoppedError: The engine has stopped.
        """
        return RunningRequest(self, request)

    def generate(self, request: GenerationRequest) -> RuntimeUpdates:
        """Run a request from an event loop; `Completed` or `Failed` is the last update.

        Iterating raises `EngineOverloadedError` if too many requests are waiting, and
        `EngineStoppedError` if the engine has stopped. Closing the iterator cancels the request.
        """
        return RuntimeUpdates(self, request)

    def ended(self, request: GenerationRequest, completed: Completed) -> Completed | Failed:
        """Keep the tokens of a completion for later prompts; return how the request ended."""
        asked, whole = uncut(request, completed)
        self.chat.remember(asked, whole)
        self._parse_check.check(asked, whole)
        error = (
            format_fault(asked, whole, partial(_decode, self.loaded))
            or content_fault(asked, whole, self.chat.token_bytes)
            or call_fault(asked, whole)
        )
        if error is None:
            ends = self.loaded.tokenizer.eos_token_ids
            return _with_counts(request, completed, self.chat.token_bytes, ends)
        error.reports = completed.reports
        return Failed(error=error)


def _forget_tokenizer(sandbox: Supervisor | None, traits: ModelTraits | None) -> None:
    """Free the tokenizer that workers have."""
    if sandbox is not None and traits is not None:
        sandbox.models.release(traits.tokenizer)


def _decode(loaded: LoadedModel, token_ids: Sequence[int]) -> str:
    """The text of a completion without its end-of-sequence token."""
    tokenizer = loaded.tokenizer
    ends = bool(token_ids) and token_ids[-1] in tokenizer.eos_token_ids
    return tokenizer.decode(token_ids[: len(token_ids) - ends])


def _profile(model: Any, progress: Callable[[str], None]) -> ModelProfile:
    progress("calibrating the model, once: the result is kept for later runs")
    return profile_of(model)


def _vocabulary(loaded: LoadedModel) -> Mapping[str, int]:
    """The ids of all tokens by name."""
    return loaded.tokenizer.hf.get_vocab()


def _with_counts(
    request: GenerationRequest,
    completed: Completed,
    token_bytes: Callable[[int], bytes],
    ends: Collection[int],
) -> Completed:
    """The completion with the number of its reasoning tokens, those after a cut if it had one."""
    reasoning, harmony = request.reasoning, request.harmony
    if reasoning is None and harmony is None:
        return completed

    def count(token_ids: Sequence[int]) -> int:
        if harmony is not None:
            return num_analysis_tokens(token_ids, harmony, request.offer, token_bytes)
        assert reasoning is not None
        pieces = [token_bytes(token_id) for token_id in token_ids if token_id not in ends]
        return num_reasoning_tokens(pieces, reasoning)

    before = request.beginning.token_ids if request.beginning else ()
    number = count((*before, *completed.token_ids)) - count(before)
    return msgspec.structs.replace(completed, reasoning_tokens=number)
