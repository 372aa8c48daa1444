"""`LLM`: load a model and generate with mods, from Python."""

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Unpack, overload

import msgspec
from concordance_shared import (
    ConcordanceError,
    EngineStoppedError,
)

from concordance_inference.chat.request import Prompt
from concordance_inference.completion import Completion
from concordance_inference.completion_stream import AsyncCompletionStream, CompletionStream
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import GenerationRequest, ModCall, SamplingParams
from concordance_inference.llm_options import (
    CheckedOptions,
    GenerateOptions,
    Prompts,
    checked_options,
    resolve_mods,
    sampling_params,
    split_prompts,
)
from concordance_inference.models.blas import preload_blas
from concordance_inference.models.options import ModelOptions
from concordance_inference.mods.catalog import ModCatalog

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime

logger = logging.getLogger(__name__)

#: A batch is never refused for its size: requests without a row wait in the queue.
_MAX_WAITING = 2**40

Result = Completion | ConcordanceError


class LLM:
    """A model that generates with mods, in this process.

    A context manager; without `with`, the model is loaded on first use and `close` releases it.
    May be used from several threads and event loops at the same time: requests share the batch.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        mod_paths: Sequence[str | Path] = (),
        options: ModelOptions | None = None,
        config: EngineConfig | None = None,
        progress: Callable[[str], None] = logger.info,
    ) -> None:
        """Find the mods; the model is loaded by `start`, `with`, or the first request.

        Args:
            model: A folder in mlx-lm's format, a GGUF file, or an id on the Hugging Face hub;
                `None` for the embedded default.
            mod_paths: Files and folders whose mods requests can name, beside the installed ones.
            options: How to load the model.
            config: Limits of the engine. `max_waiting` is ignored: any number of requests waits.
            progress: Called with a description of each step of loading.

        Raises:
            ModLoadError: A file of mods cannot be loaded.
        """
        self._model = None if model is None else str(model)
        self._catalog = ModCatalog([Path(path) for path in mod_paths])
        self._options = options
        self._config = msgspec.structs.replace(config or EngineConfig(), max_waiting=_MAX_WAITING)
        self._progress = progress
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._stop: Callable[[], object] = lambda: None
        self._is_closed = False

    def start(self) -> Self:
        """Load the model, unless it is loaded.

        Raises:
            ModelLoadError: It cannot be found or loaded.
            EngineStoppedError: This LLM was closed.
        """
        self._running()
        return self

    def close(self) -> None:
        """Cancel all requests and release the model. Later requests are refused."""
        with self._lock:
            self._is_closed = True
            self._runtime = None
        self._stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> "Runtime":
        with self._lock:
            if self._is_closed:
                raise EngineStoppedError("this LLM is closed; make another one")
            if self._runtime is None:
                preload_blas()  # before mlx is imported
                from concordance_inference.runtime import Runtime  # noqa: PLC0415

                self._runtime = Runtime(
                    self._model,
                    self._catalog,
                    config=self._config,
                    options=self._options,
                    progress=self._progress,
                ).start()
                # A process that exits while the engine's thread runs would be aborted by mlx.
                self._stop = weakref.finalize(self, self._runtime.stop)
            return self._runtime

    @overload
    def generate(
        self, prompts: str, *, stream: Literal[False] = False, **options: Unpack[GenerateOptions]
    ) -> Completion: ...
    @overload
    def generate(
        self, prompts: str, *, stream: Literal[True], **options: Unpack[GenerateOptions]
    ) -> CompletionStream: ...
    @overload
    def generate(
        self, prompts: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | CompletionStream | list[Result] | list[CompletionStream]: ...
    def generate(
        self, prompts: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | CompletionStream | list[Result] | list[CompletionStream]:
        """Continue text or token ids as they are; render messages with the chat template.

        A list of prompts runs as one batch and gives a list of results in the same order.

        Args:
            prompts: Text, token ids, messages, or a list of any of these.
            stream: Return an iterator over the text instead, or a list of iterators.
            options: See `GenerateOptions`. They hold for every prompt of a list.

        Returns:
            A `Completion` for one prompt, a list for a list. With `return_errors`, the error of
            a request that failed is in the place of its completion.

        Raises:
            InvalidRequestError: An option or a prompt is not valid; nothing was run.
            ContextLengthError: The prompt leaves no room for a completion.
            ModError: A mod failed.
            EngineError: The model cannot be loaded or run, or this LLM is closed.

        Of a list, all requests run to their end; then the first error is raised, with a note that
        says which prompt it belongs to.
        """
        return self._generate(prompts, {**options}, stream=stream, as_chat=False)

    @overload
    def chat(
        self, messages: str, *, stream: Literal[False] = False, **options: Unpack[GenerateOptions]
    ) -> Completion: ...
    @overload
    def chat(
        self, messages: str, *, stream: Literal[True], **options: Unpack[GenerateOptions]
    ) -> CompletionStream: ...
    @overload
    def chat(
        self, messages: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | CompletionStream | list[Result] | list[CompletionStream]: ...
    def chat(
        self, messages: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | CompletionStream | list[Result] | list[CompletionStream]:
        """Generate the reply to a conversation, or to each of a list. Text is a user's message.

        Everything else is as in `generate`.

        Raises:
            ConcordanceError: As `generate`.
        """
        return self._generate(messages, {**options}, stream=stream, as_chat=True)

    async def agenerate(
        self, prompts: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | AsyncCompletionStream | list[Result] | list[AsyncCompletionStream]:
        """As `generate`, from an event loop. Cancelling it cancels its requests.

        Raises:
            ConcordanceError: As `generate`.
        """
        return await self._agenerate(prompts, {**options}, stream=stream, as_chat=False)

    async def achat(
        self, messages: Prompts, *, stream: bool = False, **options: Unpack[GenerateOptions]
    ) -> Result | AsyncCompletionStream | list[Result] | list[AsyncCompletionStream]:
        """As `chat`, from an event loop. Cancelling it cancels its requests.

        Raises:
            ConcordanceError: As `generate`.
        """
        return await self._agenerate(messages, {**options}, stream=stream, as_chat=True)

    def _generate(
        self, prompts: object, given: dict[str, object], *, stream: bool, as_chat: bool
    ) -> Result | CompletionStream | list[Result] | list[CompletionStream]:
        batch = self._batch(prompts, given, as_chat=as_chat)
        streams = [CompletionStream(self, self._running(), request) for request in batch.requests]
        if stream:
            return streams if batch.is_list else streams[0]
        try:
            return batch.results([_outcome(one) for one in streams])
        finally:
            for one in streams:
                one.close()

    async def _agenerate(
        self, prompts: object, given: dict[str, object], *, stream: bool, as_chat: bool
    ) -> Result | AsyncCompletionStream | list[Result] | list[AsyncCompletionStream]:
        # Loading, tokenizing and preparing mods would block the event loop.
        batch = await asyncio.to_thread(self._batch, prompts, given, as_chat=as_chat)
        runtime = self._running()
        streams = [AsyncCompletionStream(self, runtime, request) for request in batch.requests]
        if stream:
            return streams if batch.is_list else streams[0]
        try:
            return batch.results(await asyncio.gather(*map(_aoutcome, streams)))
        finally:
            for one in streams:
                await one.aclose()

    def _batch(self, prompts: object, given: dict[str, object], *, as_chat: bool) -> "_Batch":
        mods = resolve_mods(given.pop("mods", ()), self._catalog)
        options = checked_options(given)
        split, is_list = split_prompts(prompts, as_chat=as_chat)
        runtime = self._running()
        sampling = sampling_params(options, given, runtime.model.sampling)
        requests = [_request(runtime, prompt, options, sampling, mods) for prompt in split]
        return _Batch(requests, is_list=is_list, return_errors=options.return_errors)


class _Batch:
    """The requests of one call, with an error in place of each that cannot be run."""

    def __init__(
        self,
        requests: list[GenerationRequest | ConcordanceError],
        *,
        is_list: bool,
        return_errors: bool,
    ) -> None:
        self.requests = requests
        self.is_list = is_list
        self._return_errors = return_errors

    def results(self, outcomes: list[Result]) -> Result | list[Result]:
        """What the call returns.

        Raises:
            ConcordanceError: A request failed, and errors are not to be returned.
        """
        for i, outcome in enumerate(outcomes):
            if isinstance(outcome, ConcordanceError) and not self._return_errors:
                if self.is_list:
                    outcome.add_note(f"prompt {i} of a list of {len(outcomes)}")
                raise outcome
        return outcomes if self.is_list else outcomes[0]


def _request(
    runtime: "Runtime",
    prompt: Prompt,
    options: CheckedOptions,
    sampling: SamplingParams,
    mods: tuple[ModCall, ...],
) -> GenerationRequest | ConcordanceError:
    """A request with its mods prepared, or why it cannot be run."""
    try:
        request = runtime.request(
            prompt,
            schemas=options.schemas,
            template_options=options.chat_template_kwargs,
            rendering=options.rendering,
            max_tokens=options.max_tokens,
            sampling=sampling,
            stop=options.stop_strings,
            stop_token_ids=options.stop_token_ids,
            ignore_eos=options.ignore_eos,
            min_tokens=options.min_tokens,
            mods=mods,
            top_logprobs=options.top_logprobs,
            stream=True,
            show_tokens=True,
        )
        return runtime.prepare(request)
    except ConcordanceError as exc:
        return exc


def _outcome(stream: CompletionStream) -> Result:
    try:
        return stream.result()
    except ConcordanceError as exc:
        return exc


async def _aoutcome(stream: AsyncCompletionStream) -> Result:
    try:
        return await stream.result()
    except ConcordanceError as exc:
        return exc
