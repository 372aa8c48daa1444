"""A chat completion in OpenAI's shape, whole or in chunks."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from concordance_shared import ModReport

from concordance_inference.branching.about import about_branch
from concordance_inference.chat.message_reader import ReaderFactory
from concordance_inference.generation import (
    Completed,
    ControlDelta,
    Failed,
    GenerationRequest,
    LogprobsDelta,
    PrefillProgress,
    ReportsDelta,
    Started,
    TextDelta,
    TokensDelta,
    Update,
)
from concordance_inference.server.openai.chat_choice import ChatChoice, ChoiceFields
from concordance_inference.server.openai.mod_debug_logs import DebugLogs
from concordance_inference.server.openai.mod_usage import with_about
from concordance_inference.server.openai.several_choices import Choices
from concordance_inference.server.response_writer import ChunkWriter


class ChatResponse(ChunkWriter):
    """The response to one request: all of its choices and chunks have the same id and time."""

    def __init__(
        self,
        generations: Sequence[GenerationRequest],
        model: str,
        fields: ChoiceFields,
        make_reader: ReaderFactory,
        *,
        include_usage: bool,
        choices: Choices = Choices(),  # noqa: B008  # frozen
        debug_logs: DebugLogs | None = None,
    ) -> None:
        """Start a response.

        Args:
            generations: What the engine runs.
            model: The request's `model`, which is sent back.
            fields: What each choice has besides its message.
            make_reader: Makes the reader of a choice's text.
            include_usage: End a stream with a chunk that has the usage.
            choices: How many choices the response has.
            debug_logs: What the mods did, for clients of the older server.
        """
        self._debug_logs = debug_logs
        self._number = choices
        self._choices = [ChatChoice(i, fields, make_reader()) for i in range(choices.n)]
        self._fields = fields
        self._include_usage = include_usage
        self._extra: dict[str, Any] = {"usage": None} if include_usage else {}
        self._completed: dict[int, Completed] = {}  # by index
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{generations[0].request_id}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, ends: Sequence[Completed]) -> dict[str, Any]:
        """The body of a response that is not streamed."""
        chosen = self._number.chosen(ends)
        choices = [
            choice.whole(end) | self._about_choice(choice, end, end.reports)
            for choice, end in zip(self._choices, chosen, strict=True)
        ]
        reports = [report for end in ends for report in end.reports]
        about = self._about_only(ends[0])
        return {
            **self._head,
            "object": "chat.completion",
            "choices": choices,
            **self._fields.prompt(ends[0]),
            "usage": self._number.usage(ends),
            **with_about(self._fields.about_mods(ends, reports), about),
            **(self._debug_logs.fields() if self._debug_logs else {}),
        }

    def _about_choice(
        self, choice: ChatChoice, end: Completed, reports: Sequence[ModReport] = ()
    ) -> dict[str, Any]:
        """What mods did in one of several choices, and how it was read; the response has the sum.

        Args:
            choice: The choice.
            end: Its completion.
            reports: Those that were not sent before.
        """
        if len(self._choices) == 1:
            return {}
        return with_about(self._fields.about_mods([end], reports), choice.about)

    def _about_only(self, end: Completed) -> dict[str, Any]:
        """What `concordance` has of the message, for a response with one choice."""
        if len(self._choices) > 1:
            return {}
        branch = about_branch(self._fields.branch, self._head["id"], end)
        return branch | self._choices[0].about

    def chunks(self, index: int, update: Update) -> Iterator[dict[str, Any]]:
        """The chunks of a stream that an update adds."""
        if isinstance(update, PrefillProgress):
            yield self._chunk(None, prompt_progress=update)
            return
        choice = self._choices[index]
        for part in self._role(choice, update):
            yield part
        match update:
            case Started():
                choice.prompt = update
            case TextDelta():
                about = {"concordance": {"retracted": update.retracted}} if update.retracted else {}
                for part in choice.text(update):
                    yield self._chunk(part, **about)
            case ReportsDelta():
                yield self._chunk(choice.delta({}), concordance={"reports": update.reports})
            case TokensDelta():
                yield self._chunk(choice.delta({}), concordance={"tokens": update})
            case LogprobsDelta():
                logprobs = choice.logprobs_of(update)
                yield self._chunk(choice.delta({}), concordance={"logprobs": logprobs})
            case ControlDelta():
                for command in update.commands:
                    yield self._chunk(choice.delta({}), concordance={"control": command})
            case Completed():
                yield from self._end(index, update)
            case Failed():
                pass

    def _role(self, choice: ChatChoice, update: Update) -> Iterator[dict[str, Any]]:
        """The first chunk of a choice, which has its role."""
        if choice.has_role or isinstance(update, Started | Failed):
            return
        if isinstance(update, Completed):
            choice.prompt = choice.prompt or update
        choice.has_role = True
        only_calls = isinstance(update, Completed) and bool(update.tool_calls)
        delta = {"role": "assistant", "content": None if only_calls else ""}
        begin = self._fields.about_begin(self._head["id"], choice.prompt)
        fields = self._fields.prompt(choice.prompt) | begin
        yield self._chunk(choice.delta(delta), **fields)

    def _end(self, index: int, completed: Completed) -> Iterator[dict[str, Any]]:
        """The rest of a choice; following the last one, the usage, if requested."""
        choice = self._choices[index]
        for part in choice.end(completed):
            if part["finish_reason"] is None:
                yield self._chunk(part)
                continue
            about = self._about_only(completed)
            part |= self._about_choice(choice, completed)  # noqa: PLW2901
            yield self._chunk(part, **with_about({}, about))
        self._completed[index] = completed
        if self._include_usage and len(self._completed) == len(self._choices):
            ends = [self._completed[i] for i in range(len(self._choices))]
            yield {
                **self._chunk(None),
                "usage": self._number.usage(ends),
                **self._fields.about_mods(ends),
            }

    def _chunk(self, choice: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
        return {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [] if choice is None else [choice],
            **self._extra,
            **fields,
        }
