"""`LLM`: load a model and generate with mods, from Python."""

import asyncio
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Unpack, overload

import msgspec
from concordance_shared import (
    ConcordanceError,
    EngineStoppedError,
)

from concordance_inference.completion import Completion
from concordance_inference.completion_stream import AsyncCompletionStream, CompletionStream
from concordance_inference.engine.config import EngineConfig
from concordance_inference.hosted_tools import HostedTools
from concordance_inference.llm_batch import Batch, Choices, Result, Shaped, make_batch
from concordance_inference.llm_branch import Branching
from concordance_inference.llm_options import (
    GenerateOptions,
    Prompts,
    checked_options,
    resolve_mods,
    sampling_params,
    split_prompts,
)
from concordance_inference.llm_resume import ResumeOptions, resumed
from concordance_inference.models.blas import preload_blas
from concordance_inference.models.options import ModelOptions
from concordance_inference.mods.catalog import ModCatalog

if TYPE_CHECKING:
    from concordance_sdk.hosted_tool import HostedTool

    from concordance_inference.runtime import Runtime

logger = logging.getLogger(__name__)

#: A batch is never refused for its size: requests without a row wait in the queue.
_MAX_WAITING = 2**40


class LLM(Branching):
    """A model that generates with mods, in this process.

    A context manager; without `with`, the model is loaded on first use and `close` releases it.
    May be used from several threads and event loops at the same time: requests share the batch.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        mod_paths: Sequence[str | Path] = (),
        hosted_tools: Sequence["HostedTool"] = (),
        options: ModelOptions | None = None,
        config: EngineConfig | None = None,
        progress: Callable[[str], None] = logger.info,
    ) -> None:
        """Find the mods; the model is loaded by `start`, `with`, or the first request.

        Args:
            model: A folder in mlx-lm's format, a GGUF file, or an id on the Hugging Face hub;
                `None` for the embedded default.
            mod_paths: Files and folders whose mods requests can name, beside the installed ones.
            hosted_tools: Tools that are run for a gpt-oss that calls them.
            options: How to load the model.
            config: Limits of the engine. `max_waiting` is ignored: any number of requests waits.
            progress: Called with a description of each step of loading.

        Raises:
            ModLoadError: A file of mods cannot be loaded, or a hosted tool is wrong.
        """
        self._hosted_tools = HostedTools(hosted_tools)
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
                    hosted_tools=self._hosted_tools,
                    progress=self._progress,
                ).start()
                # A process that exits while the engine's thread runs would be aborted by mlx.
                self._stop = weakref.finalize(self, self._runtime.stop)
            return self._runtime

    @overload
    def generate(
        self,
        prompts: str,
        *,
        n: None = None,
        stream: Literal[False] = False,
        **options: Unpack[GenerateOptions],
    ) -> Completion: ...
    @overload
    def generate(
        self,
        prompts: str,
        *,
        n: None = None,
        stream: Literal[True],
        **options: Unpack[GenerateOptions],
    ) -> CompletionStream: ...
    @overload
    def generate(
        self,
        prompts: str,
        *,
        n: int,
        stream: Literal[False] = False,
        **options: Unpack[GenerateOptions],
    ) -> list[Result]: ...
    @overload
    def generate(
        self,
        prompts: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[CompletionStream]: ...
    def generate(
        self,
        prompts: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[CompletionStream]:
        """Continue text or token ids as they are; render messages with the chat template.

        A list of prompts runs as one batch and gives a list of results in the same order.

        Args:
            prompts: Text, token ids, messages, or a list of any of these.
            n: Completions of each prompt, which is processed once; they are returned in a list. The
                seed of each is `seed_of_choice(seed, i)`.
            stream: Return an iterator over the text instead, or a list of iterators.
            options: See `GenerateOptions`. They hold for every prompt of a list.

        Returns:
            A `Completion` for one prompt, a list for a list; with `n`, a list in place of each
            completion. With `return_errors`, the error of a request that failed is in the place of
            its completion.

        Raises:
            InvalidRequestError: An option or a prompt is not valid; nothing was run.
            ContextLengthError: The prompt leaves no room for a completion.
            ModError: A mod failed.
            EngineError: The model cannot be loaded or run, or this LLM is closed.

        Of a list, all requests run to their end; then the first error is raised, with a note that
        says which prompt it belongs to.
        """
        return self._generate(prompts, {**options}, n, stream=stream, as_chat=False)

    @overload
    def chat(
        self,
        messages: str,
        *,
        n: None = None,
        stream: Literal[False] = False,
        **options: Unpack[GenerateOptions],
    ) -> Completion: ...
    @overload
    def chat(
        self,
        messages: str,
        *,
        n: None = None,
        stream: Literal[True],
        **options: Unpack[GenerateOptions],
    ) -> CompletionStream: ...
    @overload
    def chat(
        self,
        messages: str,
        *,
        n: int,
        stream: Literal[False] = False,
        **options: Unpack[GenerateOptions],
    ) -> list[Result]: ...
    @overload
    def chat(
        self,
        messages: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[CompletionStream]: ...
    def chat(
        self,
        messages: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[CompletionStream]:
        """Generate the reply to a conversation, or to each of a list. Text is a user's message.

        Everything else is as in `generate`.

        Raises:
            ConcordanceError: As `generate`.
        """
        return self._generate(messages, {**options}, n, stream=stream, as_chat=True)

    @overload
    def resume(
        self,
        completion: Completion | str,
        *,
        stream: Literal[False] = False,
        **options: Unpack[ResumeOptions],
    ) -> Completion: ...
    @overload
    def resume(
        self,
        completion: Completion | str,
        *,
        stream: Literal[True],
        **options: Unpack[ResumeOptions],
    ) -> CompletionStream: ...
    def resume(
        self,
        completion: Completion | str,
        *,
        stream: bool = False,
        **options: Unpack[ResumeOptions],
    ) -> Completion | CompletionStream:
        """Continue a completion that ended by `length`, or was cancelled, as if it had not ended.

        Args:
            completion: The completion, or its id.
            stream: Return an iterator over the new text instead.
            options: See `ResumeOptions`.

        Returns:
            What follows the completion: its text, tokens and calls.

        Raises:
            UnknownCompletionError: It ended more than `EngineConfig.resume_s` seconds ago.
            InvalidRequestError: The model has ended it, or an option is not valid.
            ConcordanceError: As `generate`.
        """
        runtime, request = resumed(self._running(), self._catalog, completion, {**options})
        streamed = CompletionStream(self, runtime, request)
        return streamed if stream else streamed.result()

    async def aresume(
        self,
        completion: Completion | str,
        *,
        stream: bool = False,
        **options: Unpack[ResumeOptions],
    ) -> Completion | AsyncCompletionStream:
        """As `resume`, from an event loop. Cancelling it cancels its request.

        Raises:
            ConcordanceError: As `resume`.
        """
        # Preparing mods, and decoding the completion, would block the event loop.
        runtime, request = await asyncio.to_thread(
            lambda: resumed(self._running(), self._catalog, completion, {**options})
        )
        streamed = AsyncCompletionStream(self, runtime, request)
        if stream:
            return streamed
        try:
            return await streamed.result()
        finally:
            await streamed.aclose()

    async def agenerate(
        self,
        prompts: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[AsyncCompletionStream]:
        """As `generate`, from an event loop. Cancelling it cancels its requests.

        Raises:
            ConcordanceError: As `generate`.
        """
        return await _agenerate(
            self,
            self._catalog,
            self._running,
            prompts,
            {**options},
            n,
            stream=stream,
            as_chat=False,
        )

    async def achat(
        self,
        messages: Prompts,
        *,
        n: int | None = None,
        stream: bool = False,
        **options: Unpack[GenerateOptions],
    ) -> Shaped[Result] | Shaped[AsyncCompletionStream]:
        """As `chat`, from an event loop. Cancelling it cancels its requests.

        Raises:
            ConcordanceError: As `generate`.
        """
        return await _agenerate(
            self,
            self._catalog,
            self._running,
            messages,
            {**options},
            n,
            stream=stream,
            as_chat=True,
        )

    def _generate(
        self,
        prompts: object,
        given: dict[str, object],
        n: int | None,
        *,
        stream: bool,
        as_chat: bool,
    ) -> Shaped[Result] | Shaped[CompletionStream]:
        batch = _batch(
            self._catalog, self._running, prompts, given, n, stream=stream, as_chat=as_chat
        )
        streams = [CompletionStream(self, self._running(), request) for request in batch.requests]
        if stream:
            return batch.streams(streams)
        try:
            return batch.results([_outcome(one) for one in streams])
        finally:
            for one in streams:
                one.close()


def runtime_of(llm: LLM) -> "Runtime":
    """Return the runtime of an LLM; the model is loaded unless it is.

    Raises:
        ModelLoadError: It cannot be found or loaded.
        EngineStoppedError: The LLM was closed.
    """
    return llm._running()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _outcome(stream: CompletionStream) -> Result:
    try:
        return stream.result()
    except ConcordanceError as exc:
        return exc


async def _agenerate(
    owner: object,
    catalog: ModCatalog,
    running: "Callable[[], Runtime]",
    prompts: object,
    given: dict[str, object],
    n: int | None,
    *,
    stream: bool,
    as_chat: bool,
) -> Shaped[Result] | Shaped[AsyncCompletionStream]:
    # Loading, tokenizing and preparing mods would block the event loop.
    make = partial(_batch, catalog, running, prompts, given, n, stream=stream, as_chat=as_chat)
    batch = await asyncio.to_thread(make)
    runtime = running()
    streams = [AsyncCompletionStream(owner, runtime, request) for request in batch.requests]
    if stream:
        return batch.streams(streams)
    try:
        return batch.results(await asyncio.gather(*map(_aoutcome, streams)))
    finally:
        for one in streams:
            await one.aclose()


async def _aoutcome(stream: AsyncCompletionStream) -> Result:
    try:
        return await stream.result()
    except ConcordanceError as exc:
        return exc


def _batch(
    catalog: ModCatalog,
    running: "Callable[[], Runtime]",
    prompts: object,
    given: dict[str, object],
    n: int | None,
    *,
    stream: bool,
    as_chat: bool,
) -> Batch:
    mods = resolve_mods(given.pop("mods", ()), catalog)
    options = checked_options(given)
    choices = Choices(n, options, stream=stream)
    split, is_list = split_prompts(prompts, as_chat=as_chat)
    runtime = running()
    sampling = sampling_params(options, given, runtime.model.sampling)
    return make_batch(
        runtime, split, options, choices, sampling=sampling, mods=mods, is_list=is_list
    )
