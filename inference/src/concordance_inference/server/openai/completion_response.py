"""Text completions in OpenAI's shape, whole or in chunks."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from concordance_inference.branching.about import about_branch
from concordance_inference.chat.resumed_reader import ShownTail
from concordance_inference.chat.truncated_reader import Shortened
from concordance_inference.generation import (
    Completed,
    ControlDelta,
    Failed,
    LogprobsDelta,
    PrefillProgress,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
    TokensDelta,
    Update,
)
from concordance_inference.resume.beginning import Beginning
from concordance_inference.server.openai.completion_request import CompletionsRequest
from concordance_inference.server.openai.legacy_logprobs import LegacyLogprobs, num_chars
from concordance_inference.server.openai.mod_usage import about_mods, with_about
from concordance_inference.server.openai.prompt_logprobs import prompt_logprobs
from concordance_inference.server.openai.stop_reason import stop_reason
from concordance_inference.server.response_writer import ChunkWriter
from concordance_inference.server.resuming import about_resuming


class CompletionResponse(ChunkWriter):
    """The response to one request: all of its choices and chunks have the same id and time."""

    def __init__(self, request: CompletionsRequest) -> None:
        """Start the response to a request."""
        self._head: dict[str, Any] = {
            "id": f"cmpl-{request.generations[0].request_id}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": request.body.model,
        }
        self._number = request.choices
        num_choices = len(request.prompts) * request.choices.n
        self.choices = [Choice(i, request, self._head["id"]) for i in range(num_choices)]
        self._usage_field: dict[str, Any] = {"usage": None} if request.includes_usage else {}
        self._includes_usage = request.includes_usage
        self._completed: dict[int, Completed] = {}  # by index

    def whole(self, ends: Sequence[Completed]) -> dict[str, Any]:
        """The body of a response that is not streamed."""
        chosen = self._number.chosen(ends)
        choices = [choice.whole(end) for choice, end in zip(self.choices, chosen, strict=True)]
        return {**self._head, "choices": choices, "usage": self._number.usage(ends)}

    def chunks(self, index: int, update: Update) -> Iterator[dict[str, Any]]:
        """Turn an update of one of the requests into chunks of a stream."""
        if isinstance(update, PrefillProgress):
            yield {**self._head, "choices": [], **self._usage_field, "prompt_progress": update}
            return
        for choice in self.choices[index].parts(update):
            yield {**self._head, "choices": [choice], **self._usage_field}
        if isinstance(update, Completed):
            self._completed[index] = update
            if self._includes_usage and len(self._completed) == len(self.choices):
                ends = [self._completed[i] for i in range(len(self.choices))]
                yield {**self._head, "choices": [], "usage": self._number.usage(ends)}


class Choice:
    """The completion of one prompt, whole or in parts."""

    def __init__(self, index: int, request: CompletionsRequest, response_id: str) -> None:
        """Start with the prompt if the request echoes it."""
        body = request.body
        self._index = index
        self._chat = request.served.chat
        number = index // request.choices.n  # of the prompt
        first = request.generations[number * request.choices.count]
        self._prompt = request.prompts[number]
        self._given_ids = first.prompt_ids
        self._has_mods = bool(first.mods)
        self._has_prompt_logprobs = body.prompt_logprobs is not None
        self._num_top = body.logprobs or 0
        self._has_logprobs = body.logprobs is not None
        self._has_token_ids = bool(body.return_token_ids)
        self._echoes = bool(body.echo)
        self._logprobs = LegacyLogprobs(
            self._chat.token_bytes, with_sampled=bool(body.sampled_logprobs)
        )
        self._shown = _ShownText(first.beginning, body.truncate_response)
        self._about_resuming = about_resuming(body)
        self._branch, self._id = first.branch, response_id
        self._length = 0  # characters of the text so far
        self._num_tokens = 0  # tokens of the completion that were sent
        self._num_entries = 0
        self._has_begun = False

    def whole(self, end: Completed) -> dict[str, Any]:
        """The choice of a response that is not streamed."""
        prompt = self._echo(end.prompt_ids, end.prompt_logprobs)
        text = self._shown.new(end.text)
        part = self._part(
            text, end.token_ids, end.forced_by, end.logprobs, finish_reason=end.finish_reason
        )
        part["text"] = prompt["text"] + part["text"]
        if self._has_logprobs and self._echoes:
            first, rest = prompt["logprobs"], part["logprobs"]
            part["logprobs"] = {name: [*first[name], *rest[name]] for name in first}
        about_prompt = self._about_prompt(end.prompt_ids, end.prompt_logprobs)
        return {**part, **stop_reason(end), **about_prompt, **self._about(end, reports=True)}

    def parts(self, update: Update) -> Iterator[dict[str, Any]]:
        """The choices of chunks of a stream."""
        match update:
            case Started():
                yield from self._begin(update)
            case TextDelta():
                text = self._shown.new(update.text)
                part = self._part(text, update.token_ids, update.forced_by, update.logprobs)
                self._num_tokens += len(update.token_ids)
                self._num_entries += len(update.logprobs)
                about = {"retracted": update.retracted}
                yield part | ({"concordance": about} if update.retracted else {})
            case ReportsDelta():
                yield self._part("") | {"concordance": {"reports": update.reports}}
            case TokensDelta():
                yield self._part("") | {"concordance": {"tokens": msgspec.to_builtins(update)}}
            case LogprobsDelta():
                pass  # `logprobs` is refused with `include_retractions`
            case ControlDelta():
                for command in update.commands:
                    yield self._part("") | {"concordance": {"control": command}}
            case Completed():
                yield from self._end(update)
            case PrefillProgress() | Failed():
                pass

    def _begin(self, update: Started | Completed) -> Iterator[dict[str, Any]]:
        """The part with the prompt, if the request asks for it in text or in ids.

        That of a branch says what it branches off.
        """
        self._has_begun = True
        given = update.prompt_ids, update.prompt_logprobs
        about = about_branch(self._branch, self._id, update)
        if about or self._echoes or self._has_token_ids or self._has_prompt_logprobs:
            yield with_about(self._echo(*given) | self._about_prompt(*given), about)

    def _end(self, end: Completed) -> Iterator[dict[str, Any]]:
        """What the stream has not sent yet: all, if there is no completion."""
        if not self._has_begun:
            yield from self._begin(end)
        begin, first = self._num_tokens, self._num_entries
        part = self._part(
            "",
            end.token_ids[begin:],
            end.forced_by[begin:],
            end.logprobs[first:],
            finish_reason=end.finish_reason,
        )
        yield part | stop_reason(end) | self._about(end)

    def _echo(
        self, prompt_ids: Sequence[int], entries: Sequence[TokenLogprobs | None]
    ) -> dict[str, Any]:
        """The part with the prompt; its text is the one that was given, unless a mod changed it."""
        if not self._echoes:
            return self._part("")
        chat = self._chat
        is_given = self._prompt is not None and tuple(prompt_ids) == tuple(self._given_ids)
        text = self._prompt if is_given and self._prompt is not None else chat.decode(prompt_ids)
        if self._has_logprobs:  # BOS, which was added, begins before the text
            self._logprobs.skip(len(text) - num_chars(prompt_ids, chat.token_bytes))
        token_ids = prompt_ids if self._has_logprobs else ()
        shown = [entry and replace(entry, top=entry.top[: self._num_top]) for entry in entries]
        return self._part(text, token_ids, entries=shown, is_prompt=True)

    def _part(
        self,
        text: str,
        token_ids: Sequence[int] = (),
        forced_by: Sequence[str | None] = (),
        entries: Sequence[TokenLogprobs | None] = (),
        *,
        finish_reason: str | None = None,
        is_prompt: bool = False,
    ) -> dict[str, Any]:
        """Make a choice with some text and its tokens."""
        self._length += len(text)
        logprobs = None
        if self._has_logprobs and (token_ids or finish_reason or is_prompt):
            logprobs = self._logprobs.of(token_ids, entries, self._length)
        part: dict[str, Any] = {
            "index": self._index,
            "text": text,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        if self._has_token_ids and not is_prompt and (token_ids or finish_reason):
            part |= {"token_ids": token_ids, "forced_by": forced_by}
        return part

    def _about_prompt(
        self, prompt_ids: Sequence[int], entries: Sequence[TokenLogprobs | None]
    ) -> dict[str, Any]:
        """The ids of the prompt and their log-probabilities, if requested."""
        fields: dict[str, Any] = {"prompt_token_ids": prompt_ids} if self._has_token_ids else {}
        if self._has_prompt_logprobs:
            fields["prompt_logprobs"] = prompt_logprobs(entries, self._chat.token_bytes)
        return fields

    def _about(self, end: Completed, *, reports: bool = False) -> dict[str, Any]:
        """What mods did, for requests with mods, and the tool calls that they made."""
        fields: dict[str, Any] = {}
        if end.tool_calls:
            fields["tool_calls"] = [msgspec.to_builtins(call) for call in end.tool_calls]
        fields |= about_mods([end], end.reports if reports else (), has_mods=self._has_mods)
        branch = about_branch(self._branch, self._id, end)
        return with_about(fields, self._about_resuming | branch | self._shown.about())


class _ShownText:
    """The part of a text that a response has: after an earlier one, and not more than asked."""

    def __init__(self, beginning: Beginning | None, limit: int | None) -> None:
        tail = beginning.shown.removeprefix(beginning.text) if beginning else ""
        self._tail, self._shortened = ShownTail(tail), Shortened(limit)

    def new(self, text: str) -> str:
        return self._shortened.shown(self._tail.new(text))

    def about(self) -> dict[str, Any]:
        """What `concordance` has of the text once it has ended."""
        self._tail.end()
        counts = {"replaced": self._tail.num_replaced, "truncated": self._shortened.num_hidden}
        return {name: {"text": count} for name, count in counts.items() if count}
