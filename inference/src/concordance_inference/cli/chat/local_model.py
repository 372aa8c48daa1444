"""A model of this process, as the chat uses it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from concordance_shared import ConcordanceError, FinishReason, InvalidRequestError, Message
from msgspec import Struct

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
    ReportsDelta,
    Started,
    TextDelta,
    new_request_id,
)

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime


class LocalCut(Struct, frozen=True, eq=False):
    """Where a reply was cut: its request, and what was generated."""

    request: GenerationRequest
    token_ids: tuple[int, ...]
    text: str


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
        loading = running(options, options.mod, options.mods)
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
        """Resume the last message: after its own tokens, or if they are not known, its text."""
        if isinstance(cut, LocalCut) and cut.token_ids:
            request = msgspec.structs.replace(
                cut.request,
                request_id=new_request_id(),
                prompt_ids=(*cut.request.prompt_ids, *cut.token_ids),
                max_tokens=options.max_tokens,
            )
            return LocalReply(self.runtime, request, before=cut)
        rendering = Rendering(adds_generation_prompt=False, continues_final_message=True)
        return LocalReply(self.runtime, self._request(self._as_text(messages), options, rendering))

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
            mods=runtime.mods.resolve([parse_mod(mod) for mod in options.mod], strict=False),
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
        except ConcordanceError:
            self._load(before)
            raise

    def _unload(self) -> None:
        """Stop the engine and free the memory of the model."""
        runtime, self._runtime = self.runtime, None
        self._stack.close()
        runtime.release()

    def check_mods(self, options: Chat) -> None:
        """Refuse mods that cannot be used."""
        self.runtime.mods.resolve([parse_mod(mod) for mod in options.mod], strict=False)

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

    def __init__(
        self, runtime: "Runtime", request: GenerationRequest, *, before: LocalCut | None = None
    ) -> None:
        """Submit the request.

        Args:
            runtime: The model.
            request: The request.
            before: The reply so far, which the prompt of the request ends with.
        """
        self._request = before.request if before else request
        self._before = before
        self._reader = reader_factory(request)()
        self._text: list[str] = [before.text] if before else []
        self._token_ids = [*before.token_ids] if before else []
        self._num_before = len(self._token_ids)
        self._started = Started(prompt_tokens=len(request.prompt_ids))
        self._updates = runtime.submit(runtime.prepare(request))

    def __iter__(self) -> Iterator[ReplyUpdate]:
        """Yield the updates."""
        if self._before:
            text = TextDelta(text=self._before.text, token_ids=self._before.token_ids)
            yield Restated(self._reader.add(text))
        for update in self._updates:
            match update:
                case TextDelta():
                    self._text.append(update.text)
                    self._token_ids += update.token_ids
                    yield from self._reader.add(update)
                case Started():
                    self._started = update
                    yield update
                case ReportsDelta():
                    yield update
                case Completed():
                    self._token_ids[self._num_before :] = update.token_ids
                    yield from self._reader.end(update)
                    yield self._end(update.finish_reason)
                case _:
                    pass

    def stop(self) -> Sequence[MessagePart | ReplyEnd]:
        """Cancel the request; return the parts that were held back, and the end."""
        self._updates.close()
        held = self._reader.end(
            Completed(
                text="".join(self._text),
                token_ids=tuple(self._token_ids),
                finish_reason=FinishReason.LENGTH,
                prompt_tokens=self._started.prompt_tokens,
                completion_tokens=len(self._token_ids) - self._num_before,
            )
        )
        return [*held, self._end(INTERRUPTED)]

    @property
    def cut(self) -> LocalCut:
        """The request, and what was generated so far."""
        request = self._request
        if self._before is None and self._started.prompt_ids:  # as mods left it
            request = msgspec.structs.replace(request, prompt_ids=self._started.prompt_ids)
        return LocalCut(request, tuple(self._token_ids), "".join(self._text))

    def _end(self, finish: str) -> ReplyEnd:
        return ReplyEnd(
            finish=str(finish),
            prompt_tokens=self._started.prompt_tokens - self._num_before,
            cached_tokens=self._started.cached_tokens,
            truncated_messages=self._request.truncated_messages,
            completion_tokens=len(self._token_ids) - self._num_before,
        )
