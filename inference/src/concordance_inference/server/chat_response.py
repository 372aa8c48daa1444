"""A chat completion in OpenAI's shape, whole or in chunks."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from concordance_shared import FinishReason, ModReport, ToolCall

from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
    TokensDelta,
    Update,
)

#: JSON has no -inf; OpenAI's API sends this logprob for an impossible token.
_IMPOSSIBLE = -9999.0


class ChatResponse:
    """The response to one request: all of its parts have the same id and time."""

    def __init__(
        self, request: GenerationRequest, model: str, token_bytes: Callable[..., bytes]
    ) -> None:
        """Start a response.

        Args:
            request: The request that the engine runs.
            model: The request's `model`, which is sent back.
            token_bytes: The bytes that a token adds to a text, as `ChatFormat.token_bytes`.
        """
        self._has_mods = bool(request.mods)
        self._has_logprobs = request.top_logprobs is not None
        self._has_token_ids = request.return_token_ids
        self._token_bytes = token_bytes
        self._num_logprobs = 0  # tokens whose logprobs were encoded
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{request.request_id}",
            "created": int(time.time()),
            "model": model,
        }

    def completion(self, completed: Completed) -> dict[str, Any]:
        """The body of a response that is not streamed."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": completed.text if completed.text or not completed.tool_calls else None,
            "refusal": None,
        }
        if completed.tool_calls:
            message["tool_calls"] = [msgspec.to_builtins(call) for call in completed.tool_calls]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": self._logprobs(completed.logprobs),
            "finish_reason": completed.finish_reason,
            **self._tokens(completed.token_ids, completed.forced_by),
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            **self.prompt(completed.prompt_ids),
            "usage": usage(completed),
            **self._about_mods(completed, completed.reports),
        }

    def chunk(
        self,
        delta: dict[str, Any] | None,
        finish_reason: FinishReason | None = None,
        update: TextDelta | Completed | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Make a chunk of a stream; one without a delta has no choices.

        Args:
            delta: The change of the message.
            finish_reason: Why the completion ended, in the chunk that says so.
            update: Has the logprobs and the tokens of the chunk, if it has any.
            fields: Other fields of the chunk.
        """
        logprobs = update.logprobs if update else ()
        tokens = self._tokens(update.token_ids, update.forced_by) if update else {}
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": self._logprobs(logprobs) if logprobs else None,
            "finish_reason": finish_reason,
            **tokens,
        }
        return {
            **self._head,
            "object": "chat.completion.chunk",
            "choices": [] if delta is None else [choice],
            **fields,
        }

    def prompt(self, prompt_ids: Sequence[int]) -> dict[str, Any]:
        """The ids of the prompt, if requested."""
        return {"prompt_token_ids": prompt_ids} if self._has_token_ids else {}

    def _tokens(self, token_ids: Sequence[int], forced_by: Sequence[str | None]) -> dict[str, Any]:
        """The ids of tokens and the mods that forced them, if requested."""
        if not self._has_token_ids:
            return {}
        return {"token_ids": token_ids, "forced_by": forced_by}

    def _logprobs(self, entries: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
        """Logprobs in OpenAI's shape."""
        if not self._has_logprobs:
            return None
        content = [self._position(entry) for entry in entries]
        return {"content": content, "refusal": None}

    def _position(self, entry: TokenLogprobs) -> dict[str, Any]:
        """A token and its alternatives; the first token is decoded as the start of a text."""
        at_start, self._num_logprobs = not self._num_logprobs, self._num_logprobs + 1
        return {
            **self._token(entry.token_id, entry.logprob, at_start=at_start),
            "top_logprobs": [self._token(*pair, at_start=at_start) for pair in entry.top],
        }

    def _token(self, token_id: int, logprob: float, *, at_start: bool) -> dict[str, Any]:
        data = self._token_bytes(token_id, at_start=at_start)
        return {
            "token": data.decode(errors="replace"),
            "logprob": max(logprob, _IMPOSSIBLE),
            "bytes": list(data),
        }

    def _about_mods(
        self, completed: Completed, reports: Sequence[ModReport] = ()
    ) -> dict[str, Any]:
        """What mods did, for requests with mods: counts, and reports if there are any."""
        if not self._has_mods:
            return {}
        counts = {
            "forced_tokens": completed.forced_tokens,
            "backtracked_tokens": completed.backtracked_tokens,
        }
        return {"concordance": counts | ({"reports": reports} if reports else {})}

    def unsent(self, completed: Completed, num_sent: int, num_logprobs: int) -> Completed | None:
        """What the last chunk with a choice has: tokens without text, such as the last one."""
        if not self._has_token_ids:
            return None
        return msgspec.structs.replace(
            completed,
            token_ids=completed.token_ids[num_sent:],
            forced_by=completed.forced_by[num_sent:],
            logprobs=completed.logprobs[num_logprobs:],
        )

    def last_chunk(self, completed: Completed) -> dict[str, Any]:
        """The chunk with the usage, if the client requested it."""
        return self.chunk(None, usage=usage(completed), **self._about_mods(completed))


class ChatChunks:
    """The chunks of one stream: the role first, then text or tool calls, the reason last."""

    def __init__(self, response: ChatResponse, *, include_usage: bool) -> None:
        """Start a stream.

        Args:
            response: The response whose chunks these are.
            include_usage: End with a chunk that has the usage.
        """
        self._response = response
        self._include_usage = include_usage
        self._extra: dict[str, Any] = {"usage": None} if include_usage else {}
        self._has_role = False
        self._prompt_ids: Sequence[int] = ()
        self._num_sent = 0  # tokens of the completion that chunks had
        self._num_logprobs = 0

    def of(self, update: Update) -> Iterator[dict[str, Any]]:
        """Turn an update of the engine into chunks."""
        match update:
            case TextDelta():
                yield from self._role("")
                yield self._text(update)
            case ReportsDelta():
                yield from self._role("")
                about_mods = {"reports": update.reports}
                yield self._response.chunk({}, concordance=about_mods, **self._extra)
            case TokensDelta():
                yield from self._role("")
                yield self._tokens(update)
            case Completed():
                yield from self._end(update)
            case Started():
                self._prompt_ids = update.prompt_ids
            case Failed():
                pass

    def _end(self, completed: Completed) -> Iterator[dict[str, Any]]:
        self._prompt_ids = self._prompt_ids or completed.prompt_ids
        yield from self._role(None if completed.tool_calls else "")
        for i, call in enumerate(completed.tool_calls):
            yield from self._tool_call(i, call)
        rest = self._response.unsent(completed, self._num_sent, self._num_logprobs)
        yield self._response.chunk({}, completed.finish_reason, rest, **self._extra)
        if self._include_usage:
            yield self._response.last_chunk(completed)

    def _role(self, content: str | None) -> Iterator[dict[str, Any]]:
        if not self._has_role:
            self._has_role = True
            prompt = self._response.prompt(self._prompt_ids)
            delta = {"role": "assistant", "content": content}
            yield self._response.chunk(delta, **prompt, **self._extra)

    def _text(self, delta: TextDelta) -> dict[str, Any]:
        self._num_sent += len(delta.token_ids)
        self._num_logprobs += len(delta.logprobs)
        chunk = self._response.chunk({"content": delta.text}, update=delta, **self._extra)
        if delta.retracted:
            chunk["concordance"] = {"retracted": delta.retracted}
        return chunk

    def _tokens(self, delta: TokensDelta) -> dict[str, Any]:
        """A chunk without text: the change of the completion's tokens."""
        chunk = self._response.chunk({}, **self._extra)
        chunk["concordance"] = {"tokens": msgspec.to_builtins(delta)}
        return chunk

    def _tool_call(self, index: int, call: ToolCall) -> Iterator[dict[str, Any]]:
        """The call's name, then its arguments: clients join the pieces of each field."""
        opened = {
            "index": index,
            "id": call.id,
            "type": call.type,
            "function": {"name": call.function.name, "arguments": ""},
        }
        arguments = {"index": index, "function": {"arguments": call.function.arguments}}
        yield self._response.chunk({"tool_calls": [opened]}, **self._extra)
        yield self._response.chunk({"tool_calls": [arguments]}, **self._extra)


def usage(completed: Completed) -> dict[str, Any]:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": completed.prompt_tokens,
        "completion_tokens": completed.completion_tokens,
        "total_tokens": completed.prompt_tokens + completed.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": completed.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
