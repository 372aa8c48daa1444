"""One choice of a chat completion, whole or in parts."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from concordance_shared import FinishReason, ModReport
from msgspec import Struct

from concordance_inference.branching.about import about_branch
from concordance_inference.branching.branch import Branch
from concordance_inference.chat.about_reading import about_reading, has_earlier_calls
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
    ReadMessage,
    ReasoningText,
)
from concordance_inference.chat.message_reader import MessageReader, finish_reason, read_message
from concordance_inference.generation import (
    Completed,
    GenerationRequest,
    LogprobsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
)
from concordance_inference.server.openai.mod_usage import about_mods, with_about
from concordance_inference.server.openai.prompt_logprobs import IMPOSSIBLE, prompt_logprobs
from concordance_inference.server.openai.stop_reason import stop_reason


class ChoiceFields(Struct, frozen=True, kw_only=True, eq=False):
    """What choices have besides their messages, as the request asks.

    Attributes:
        has_mods: Say what mods did.
        num_truncated: Messages that were left out of the prompt.
        has_logprobs: Have the logprobs of each token.
        has_sampled_logprobs: Have those under the distribution that was sampled from, too.
        has_prompt_logprobs: Have those of the prompt.
        has_token_ids: Have the ids of each token, and the mod that forced it.
        token_bytes: The bytes that a token adds to a text, as `ChatFormat.token_bytes`.
        reasoning_names: The fields of a message that have its reasoning.
        resumed_from: The completion that is continued.
        branch: Tokens of another completion, with which this one begins.
    """

    has_mods: bool
    num_truncated: int = 0
    has_logprobs: bool
    has_sampled_logprobs: bool = False
    has_prompt_logprobs: bool = False
    has_token_ids: bool
    token_bytes: Callable[..., bytes]
    reasoning_names: tuple[str, ...] = ("reasoning", "reasoning_content")
    resumed_from: str | None = None
    branch: Branch | None = None

    @classmethod
    def of(
        cls,
        request: GenerationRequest,
        token_bytes: Callable[..., bytes],
        reasoning_names: tuple[str, ...],
        resumed_from: str | None = None,
    ) -> "ChoiceFields":
        """The fields that a request asks for; the other arguments are attributes."""
        return cls(
            reasoning_names=reasoning_names,
            resumed_from=resumed_from,
            branch=request.branch,
            has_mods=bool(request.mods),
            num_truncated=request.truncated_messages,
            has_logprobs=request.top_logprobs is not None,
            has_sampled_logprobs=request.sampled_logprobs,
            has_prompt_logprobs=request.prompt_logprobs is not None,
            has_token_ids=request.return_token_ids,
            token_bytes=token_bytes,
        )

    def prompt(self, update: Started | Completed | None) -> dict[str, Any]:
        """The ids of the prompt and their log-probabilities, if requested."""
        if update is None:
            return {}
        fields: dict[str, Any] = {}
        if self.has_token_ids:
            fields["prompt_token_ids"] = update.prompt_ids
        if self.has_prompt_logprobs and update.prompt_logprobs:
            fields["prompt_logprobs"] = prompt_logprobs(update.prompt_logprobs, self.token_bytes)
        return fields

    def tokens(self, token_ids: Sequence[int], forced_by: Sequence[str | None]) -> dict[str, Any]:
        """The ids of tokens and the mods that forced them, if requested."""
        if not self.has_token_ids:
            return {}
        return {"token_ids": token_ids, "forced_by": forced_by}

    def about_reading(self, reader: MessageReader) -> dict[str, Any]:
        """What was shown of a message that was read to its end, and what it continues."""
        resumed = {} if self.resumed_from is None else {"resumed_from": self.resumed_from}
        return resumed | about_reading(reader)

    def about_begin(self, completion_id: str, update: Started | Completed | None) -> dict[str, Any]:
        """What the first chunk of a stream says: what was left out of the prompt, and the branch.

        Args:
            completion_id: The id of the response.
            update: The first update, if it has the counts of tokens.
        """
        truncated = about_mods((), has_mods=False, num_truncated=self.num_truncated)
        return with_about(truncated, about_branch(self.branch, completion_id, update))

    def about_mods(
        self, ends: Sequence[Completed], reports: Sequence[ModReport] = ()
    ) -> dict[str, Any]:
        """What mods did, for requests with mods."""
        num_truncated = self.num_truncated
        return about_mods(ends, reports, has_mods=self.has_mods, num_truncated=num_truncated)


class _Tokens(Struct):
    """Tokens that no chunk has had yet, such as those whose text is held back."""

    token_ids: tuple[int, ...] = ()
    forced_by: tuple[str | None, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()

    def add(self, delta: TextDelta) -> None:
        self.token_ids += delta.token_ids
        self.forced_by += delta.forced_by
        self.logprobs += delta.logprobs


class ChatChoice:
    """A choice of a response: the role first, then parts of the message, the reason last."""

    def __init__(self, index: int, fields: ChoiceFields, reader: MessageReader) -> None:
        """Start an empty choice.

        Args:
            index: Its number in the response.
            fields: What it has besides its message.
            reader: Reads the message.
        """
        self.has_role = False
        self.prompt: Started | Completed | None = None  # the update that has the prompt
        self._index = index
        self._fields = fields
        self._reader = reader
        self._unsent = _Tokens()
        self._num_tokens = 0  # of the completion, received so far
        self._num_entries = 0
        self._num_logprobs = 0  # tokens whose logprobs were encoded
        self._has_calls = has_earlier_calls(reader)

    @property
    def about(self) -> dict[str, Any]:
        """What `concordance` has of the message, once it has ended."""
        return self._fields.about_reading(self._reader)

    def whole(self, completed: Completed) -> dict[str, Any]:
        """The choice of a response that is not streamed."""
        read = read_message(self._reader, completed)
        has_calls = self._has_calls or bool(read.tool_calls)
        return {
            "index": self._index,
            "message": _message(read, self._fields.reasoning_names),
            "logprobs": self._logprobs(completed.logprobs),
            "finish_reason": finish_reason(completed, has_calls=has_calls),
            **stop_reason(completed),
            **self._fields.tokens(completed.token_ids, completed.forced_by),
        }

    def text(self, delta: TextDelta) -> Iterator[dict[str, Any]]:
        """The parts that more text adds."""
        self._num_tokens += len(delta.token_ids)
        self._num_entries += len(delta.logprobs)
        self._unsent.add(delta)
        yield from self._parts(self._reader.add(delta))

    def end(self, completed: Completed) -> Iterator[dict[str, Any]]:
        """The rest of the message, and why it ended, with the tokens that have no text."""
        yield from self._parts(self._reader.end(completed))
        if self._fields.has_token_ids:
            self._unsent.add(self._rest(completed))
        reason = finish_reason(completed, has_calls=self._has_calls)
        yield self.delta({}, reason) | stop_reason(completed)

    def delta(
        self, delta: dict[str, Any], finish_reason: FinishReason | None = None
    ) -> dict[str, Any]:
        """A part with a change of the message and without tokens, unless it is the last one."""
        return self._part(delta, self._take() if finish_reason else _Tokens(), finish_reason)

    def _parts(self, parts: Sequence[MessagePart]) -> Iterator[dict[str, Any]]:
        """The parts of a message; the first one has the tokens."""
        for part in parts:
            self._has_calls |= isinstance(part, CallEnded)
            if delta := _delta(part, self._fields.reasoning_names):
                yield self._part(delta, self._take())

    def _take(self) -> _Tokens:
        tokens, self._unsent = self._unsent, _Tokens()
        return tokens

    def _part(
        self, delta: dict[str, Any], tokens: _Tokens, finish_reason: FinishReason | None = None
    ) -> dict[str, Any]:
        has_tokens = tokens.token_ids or finish_reason
        return {
            "index": self._index,
            "delta": delta,
            "logprobs": self._logprobs(tokens.logprobs) if tokens.logprobs else None,
            "finish_reason": finish_reason,
            **(self._fields.tokens(tokens.token_ids, tokens.forced_by) if has_tokens else {}),
        }

    def _rest(self, completed: Completed) -> TextDelta:
        """Tokens of a completion without text, such as the last one."""
        return TextDelta(
            text="",
            token_ids=completed.token_ids[self._num_tokens :],
            forced_by=completed.forced_by[self._num_tokens :],
            logprobs=completed.logprobs[self._num_entries :],
        )

    def _logprobs(self, entries: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        """Logprobs in OpenAI's shape."""
        if not self._fields.has_logprobs:
            return None
        return {"content": [self._position(entry) for entry in entries], "refusal": None}

    def logprobs_of(self, delta: LogprobsDelta) -> dict[str, Any]:
        """The logprobs of tokens that were sent as they happened."""
        self._num_logprobs = delta.first
        return {"first": delta.first, **(self._logprobs(delta.entries) or {})}

    def _position(self, entry: TokenLogprobs) -> dict[str, Any]:
        """A token and its alternatives; the first token is decoded as the start of a text."""
        at_start, self._num_logprobs = not self._num_logprobs, self._num_logprobs + 1
        return {
            **self._token(entry.token_id, entry.logprob, at_start=at_start),
            **(self._sampled(entry) if self._fields.has_sampled_logprobs else {}),
            "top_logprobs": [self._token(*pair, at_start=at_start) for pair in entry.top],
        }

    def _sampled(self, entry: TokenLogprobs) -> dict[str, Any]:
        return {"sampled_logprob": entry.sampled_logprob}

    def _token(self, token_id: int, logprob: float, *, at_start: bool) -> dict[str, Any]:
        data = self._fields.token_bytes(token_id, at_start=at_start)
        return {
            "token": data.decode(errors="replace"),
            "logprob": max(logprob, IMPOSSIBLE),
            "bytes": list(data),
        }


def _message(read: ReadMessage, reasoning_names: Sequence[str]) -> dict[str, Any]:
    """A whole message; the content of one that only calls tools is null."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": read.content if read.content or not read.tool_calls else None,
        "refusal": None,
    }
    if read.reasoning:
        message |= dict.fromkeys(reasoning_names, read.reasoning)
    if read.tool_calls:
        message["tool_calls"] = [msgspec.to_builtins(call) for call in read.tool_calls]
    return message


def _delta(part: MessagePart, reasoning_names: Sequence[str]) -> dict[str, Any]:
    """The change of a message, if any; clients join the texts of each field."""
    match part:
        case ReasoningText():
            return dict.fromkeys(reasoning_names, part.text)
        case ContentText():
            return {"content": part.text}
        case CallBegun():
            function = {"name": part.name, "arguments": ""}
            call = {"index": part.index, "id": part.id, "type": "function", "function": function}
            return {"tool_calls": [call]}
        case CallArguments():
            return {"tool_calls": [{"index": part.index, "function": {"arguments": part.text}}]}
        case CallEnded() | CallCut():
            return {}
