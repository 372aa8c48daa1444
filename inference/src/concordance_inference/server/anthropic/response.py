"""A message in Anthropic's shape, whole or as events."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from concordance_shared import FinishReason

from concordance_inference.branching.about import about_branch
from concordance_inference.chat.about_reading import has_earlier_calls
from concordance_inference.chat.message_reader import MessageReader, finish_reason, read_parts
from concordance_inference.generation import (
    Completed,
    ControlDelta,
    GenerationRequest,
    PrefillProgress,
    Started,
    TextDelta,
)
from concordance_inference.server.anthropic.content import (
    ContentBlocks,
    Event,
    content_of,
    without_cut,
)
from concordance_inference.server.anthropic.errors import anthropic_error
from concordance_inference.server.openai.chat_choice import ChoiceFields
from concordance_inference.server.openai.mod_usage import with_about
from concordance_inference.server.updates import Numbered


class MessageResponse:
    """The response to one request."""

    def __init__(
        self,
        generation: GenerationRequest,
        model: str,
        fields: ChoiceFields,
        reader: MessageReader,
        *,
        context_length: int,
        omits_thinking: bool,
    ) -> None:
        """Start a response.

        Args:
            generation: What the engine runs.
            model: The request's `model`, which is sent back.
            fields: What the message has besides its content.
            reader: Reads the message.
            context_length: That of the model.
            omits_thinking: Blocks of thinking have no text.
        """
        self._generation = generation
        self._fields = fields
        self._reader = reader
        self._context_length = context_length
        self._blocks = ContentBlocks(omits_thinking=omits_thinking)
        self._has_started = False
        self._head = {
            "id": f"msg_{generation.request_id}",
            "type": "message",
            "role": "assistant",
            "model": model,
        }

    def whole(self, ends: Sequence[Completed]) -> Event:
        """The body of a response that is not streamed."""
        [completed] = ends
        parts = without_cut(read_parts(self._reader, completed))
        events = [*self._blocks.events(parts), *self._blocks.end()]
        return {
            **self._head,
            "content": content_of(events),
            **self._ended(completed),
            "usage": _usage_of(completed),
            **self._about(completed),
        }

    def begin(self) -> Sequence[bytes]:
        """Nothing: the first event needs the first update."""
        return ()

    def events(self, numbered: Numbered) -> list[bytes]:
        """The events of a stream that an update adds."""
        update = numbered.update
        match update:
            case Started():
                return self._start(update.prompt_tokens, update.cached_tokens)
            case TextDelta():
                return _encoded(self._blocks.events(self._reader.add(update)))
            case Completed():
                start = self._start(update.prompt_tokens, update.cached_tokens)
                return [*start, *_encoded(self._end(update))]
            case PrefillProgress():
                return [_ping(progress=update)]
            case ControlDelta():
                return [_ping(control=command) for command in update.commands]
            case _:  # reports are in the last event
                return []

    def failed(self, error: dict[str, Any]) -> Sequence[bytes]:
        """The event of an error."""
        return _encoded([anthropic_error(error, self._generation.request_id)])

    def end(self) -> Sequence[bytes]:
        """Nothing: `message_stop` ends a stream, and `error` one that failed."""
        return ()

    def _start(self, prompt_tokens: int, cached_tokens: int) -> list[bytes]:
        """The event that begins a message, once."""
        if self._has_started:
            return []
        self._has_started = True
        message = {
            **self._head,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(prompt_tokens, cached_tokens, 0, 0),
        }
        return _encoded([{"type": "message_start", "message": message}, {"type": "ping"}])

    def _end(self, completed: Completed) -> Iterable[Event]:
        yield from self._blocks.events(self._reader.end(completed))
        yield from self._blocks.end()
        yield {
            "type": "message_delta",
            "delta": self._ended(completed),
            "usage": _usage_of(completed),
            **self._about(completed),
        }
        yield {"type": "message_stop"}

    def _about(self, completed: Completed) -> Event:
        """What mods did, and what was shown."""
        about = self._fields.about_mods([completed], completed.reports)
        branch = about_branch(self._fields.branch, self._head["id"], completed)
        return with_about(about, branch | self._fields.about_reading(self._reader))

    def _ended(self, completed: Completed) -> Event:
        """Why the message ended."""
        stopped_by = completed.stopped_by
        reason = self._reason(completed)
        is_stop = reason == "stop_sequence"
        return {"stop_reason": reason, "stop_sequence": stopped_by if is_stop else None}

    def _reason(self, completed: Completed) -> str:
        has_calls = self._blocks.has_calls or has_earlier_calls(self._reader)
        match finish_reason(completed, has_calls=has_calls):
            case FinishReason.TOOL_CALLS:
                return "tool_use"
            case FinishReason.LENGTH:
                length = completed.prompt_tokens + completed.completion_tokens
                is_full = length >= self._context_length
                asked, branch = self._generation.max_tokens, self._generation.branch
                num_begun = branch.position if branch else 0
                is_cut = asked is None or completed.completion_tokens - num_begun < asked
                return "model_context_window_exceeded" if is_full and is_cut else "max_tokens"
            case _:
                return "stop_sequence" if isinstance(completed.stopped_by, str) else "end_turn"


def _usage_of(completed: Completed) -> dict[str, Any]:
    return _usage(
        completed.prompt_tokens,
        completed.cached_tokens,
        completed.completion_tokens,
        completed.reasoning_tokens,
    )


def _usage(prompt: int, cached: int, completion: int, reasoning: int) -> dict[str, Any]:
    """Token counts. The three counts of input add up to the prompt."""
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": completion,
        "output_tokens_details": {"thinking_tokens": reasoning},
    }


def _ping(**about: Any) -> bytes:
    """An event that clients of this API ignore, with what Concordance says beside the message."""
    [event] = _encoded([{"type": "ping", "concordance": about}])
    return event


def _encoded(events: Iterable[Event]) -> list[bytes]:
    """Events of a stream; each has its type as its name."""
    return [
        b"event: " + event["type"].encode() + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
        for event in events
    ]


#: Keeps the connection of a stream.
PING = _encoded([{"type": "ping"}])[0]
