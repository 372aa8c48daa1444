"""A model of this process, as the chat uses it."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import (
    ConcordanceError,
    FinishReason,
    InvalidRequestError,
    Message,
    RequestError,
)

from concordance_inference.chat.message_parts import MessagePart
from concordance_inference.chat.readers import reader_factory
from concordance_inference.chat.reasoning_choice import ReasoningChoice
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_inference.cli.chat.conversation_file import INTERRUPTED
from concordance_inference.cli.chat.reply import ModLine, ReplyEnd, ReplyUpdate, Restated
from concordance_inference.cli.options import Chat
from concordance_inference.cli.output_args import ends_of, output_of
from concordance_inference.cli.start import parse_mod, running
from concordance_inference.generation import (
    Completed,
    GenerationRequest,
    ModCall,
    ReportsDelta,
    Started,
    TextDelta,
)
from concordance_inference.loop_detection import LOOP, ends_in_loop
from concordance_inference.resume.ended import UnknownCompletionError
from concordance_inference.resume.uncut import uncut

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime


logger = logging.getLogger(__name__)

#: Seconds for which a reply can be resumed exactly; the engine limits how many are kept.
_RESUME_S = 86400.0

#: Seconds until the engine has surely ended a request that was cancelled.
_CANCEL_S = 2.0


class LocalModel:
    """A model of this process. A context manager."""

    def __init__(self, options: Chat) -> None:
        """Remember how to load the model; entering the context loads it."""
        self._options = options
        self._stack = ExitStack()
        self._runtime: Runtime | None = None

    def __enter__(self) -> "LocalModel":
        """Load the model."""
        self._load(self._options)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the engine."""
        self._stack.close()

    def _load(self, options: Chat) -> None:
        loading = running(options, options.mod, options.mods, resume_seconds=_RESUME_S)
        self._runtime, _ = self._stack.enter_context(loading)
        self._options = options

    @property
    def runtime(self) -> "Runtime":
        """The loaded model."""
        assert self._runtime is not None, "entered"
        return self._runtime

    @property
    def id(self) -> str:
        """Its name."""
        return self.runtime.model.id

    @property
    def source(self) -> str | None:
        """The value of `--model` that loads it; `None` for the embedded one."""
        return self._options.model

    def reply(self, messages: Sequence[Message], options: Chat) -> "LocalReply":
        """Begin a reply."""
        return LocalReply(self.runtime, self._request(messages, options, USUAL))

    def resume(self, messages: Sequence[Message], options: Chat, cut: object) -> "LocalReply":
        """Resume the last message: after its own tokens, or if they are not kept, its text."""
        if isinstance(cut, str):
            try:
                return LocalReply(self.runtime, self._kept(cut, options))
            except RequestError as exc:
                logger.info("the reply continues after its text: %s", exc)
        rendering = Rendering(adds_generation_prompt=False, continues_final_message=True)
        return LocalReply(self.runtime, self._request(self._as_text(messages), options, rendering))

    def _kept(self, cut: str, options: Chat) -> GenerationRequest:
        """The request that continues a completion, which the engine may still have to end."""
        changes = {
            **ends_of(options),
            "sampling": options.sampling,
            "mods": self._mods(options),
            "stream": True,
            "return_token_ids": True,
        }
        until = time.monotonic() + _CANCEL_S
        while True:
            try:
                return self.runtime.resume(cut, changes)
            except UnknownCompletionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _as_text(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, with an open reasoning of the last one as its text."""
        last = messages[-1]
        if last.content or not last.reasoning_content:
            return [*messages]
        tags = self.runtime.chat.reasoning_tags
        if not tags:
            raise InvalidRequestError(
                "/resume: the reply was cut in its reasoning, and this model has no tags for one; "
                "/retry generates it again"
            )
        text = f"{tags[0][0]}\n{last.reasoning_content}"
        return [*messages[:-1], Message(role="assistant", content=text)]

    def _request(
        self, messages: Sequence[Message], options: Chat, rendering: Rendering
    ) -> GenerationRequest:
        runtime = self.runtime
        return runtime.request(
            messages,
            mods=self._mods(options),
            output=output_of(options),
            sampling=runtime.model.sampling.params(options.sampling),
            reasoning=ReasoningChoice(
                effort=options.reasoning_effort,
                max_tokens=options.thinking_token_budget,
                param="--reasoning-effort",
            ),
            rendering=rendering,
            truncation="auto",
            stream=True,
            return_token_ids=True,
            **ends_of(options),
        )

    def switch(self, name: str) -> None:
        """Load another model, after this one is unloaded; if it cannot be, load this one again."""
        before = self._options
        self._unload()
        try:
            self._load(replace(before, model=None if name == "default" else name))
        except (ConcordanceError, KeyboardInterrupt):
            self._load(before)
            raise

    def _unload(self) -> None:
        """Stop the engine and free the memory of the model."""
        runtime, self._runtime = self.runtime, None
        self._stack.close()
        runtime.release()

    def check_mods(self, options: Chat) -> None:
        """Refuse mods that cannot be used."""
        self._mods(options)

    def _mods(self, options: Chat) -> tuple[ModCall, ...]:
        return self.runtime.mods.resolve([parse_mod(mod) for mod in options.mod], strict=False)

    def model_names(self) -> list[str]:
        """Return the models that can be loaded without a download."""
        from concordance_inference.models.store import lm_studio_names, stored_names

        return ["default", *sorted({*stored_names(), *lm_studio_names()})]

    def mods(self) -> list[ModLine]:
        """Return the mods of the catalog."""
        return [
            ModLine(name=entry.name, description=_summary(entry.definition.doc))
            for entry in self.runtime.mods.entries()
        ]


def _summary(text: str) -> str:
    return text.strip().partition("\n")[0]


class LocalReply:
    """A reply of a model of this process, split into parts as its completion is generated."""

    def __init__(self, runtime: "Runtime", request: GenerationRequest) -> None:
        """Submit the request."""
        self._request = request
        self._reader = reader_factory(msgspec.structs.replace(request, beginning=None))()
        self._text: list[str] = []
        self._num_tokens = 0
        self._started = Started(prompt_tokens=len(request.prompt_ids))
        self._updates = runtime.submit(runtime.prepare(request))

    def __iter__(self) -> Iterator[ReplyUpdate]:
        """Yield the updates."""
        if before := self._request.beginning:
            yield Restated(self._reader.add(TextDelta(text=before.text, marks=before.marks)))
        for update in self._updates:
            match update:
                case TextDelta():
                    self._text.append(update.text)
                    self._num_tokens += len(update.token_ids)
                    yield from self._reader.add(update)
                case Started():
                    self._started = update
                    yield update
                case ReportsDelta():
                    yield update
                case Completed():
                    self._num_tokens = update.completion_tokens
                    yield from self._reader.end(uncut(self._request, update)[1])
                    yield self._end(LOOP if ends_in_loop(update.loops) else update.finish_reason)
                case _:
                    pass

    def stop(self) -> Sequence[MessagePart | ReplyEnd]:
        """Cancel the request; return the parts that were held back, and the end."""
        self._updates.close()
        cut = Completed(
            text="".join(self._text),
            token_ids=(),
            finish_reason=FinishReason.CANCELLED,
            prompt_tokens=self._started.prompt_tokens,
            completion_tokens=self._num_tokens,
        )
        held = self._reader.end(uncut(self._request, cut)[1])
        return [*held, self._end(INTERRUPTED)]

    @property
    def cut(self) -> str:
        """The id of the request."""
        return self._request.request_id

    def _end(self, finish: str) -> ReplyEnd:
        return ReplyEnd(
            finish=str(finish),
            prompt_tokens=self._started.prompt_tokens,
            cached_tokens=self._started.cached_tokens,
            truncated_messages=self._request.truncated_messages,
            completion_tokens=self._num_tokens,
        )
