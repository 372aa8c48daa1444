"""The output of a response: items that grow with the parts of the message, and their events."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
    ReasoningText,
)
from concordance_inference.generation import TokenLogprobs
from concordance_inference.server.responses.growing_items import (
    GrowingCall,
    GrowingItem,
    GrowingMessage,
    GrowingReasoning,
    GrowingSummary,
)
from concordance_inference.server.responses.items import Item, Status
from concordance_inference.server.responses.token_logprobs import LogprobEntries, tokens_of

#: An event: its fields without the sequence number.
Event = dict[str, Any]


class OutputFields(Struct, frozen=True, kw_only=True, eq=False):
    """What items have besides their text, as the request asks.

    Attributes:
        key: Makes the ids of items unique.
        token_bytes: The bytes that a token adds to a text, as `ChatFormat.token_bytes`.
        hidden_ids: Tokens that add no text; they have no logprobs.
        has_logprobs: Messages have the logprobs of each token.
        has_encrypted: Reasoning has an `encrypted_content`.
        has_summary: Reasoning is in `summary`, and not in `content`.
    """

    key: str
    token_bytes: Callable[..., bytes]
    hidden_ids: Collection[int] = ()
    has_logprobs: bool = False
    has_encrypted: bool = False
    has_summary: bool = False


class Output:
    """The items of a response; at most the last one is not complete."""

    def __init__(self, fields: OutputFields) -> None:
        """Start without items."""
        self._fields = fields
        self._done: list[Item] = []
        self._open: GrowingItem | None = None
        self._call_index = -1  # of the open item among the calls
        self._entries = LogprobEntries(fields.token_bytes)
        self._unsent: list[dict[str, Any]] = []  # entries of tokens that are in no item yet

    @property
    def is_empty(self) -> bool:
        """True if there is no item."""
        return not self._done and self._open is None

    @property
    def items(self) -> tuple[Item, ...]:
        """The items so far."""
        rest = () if self._open is None else (self._open.item("in_progress"),)
        return (*self._done, *rest)

    def add(
        self, parts: Sequence[MessagePart], logprobs: Sequence[TokenLogprobs] = ()
    ) -> Iterator[Event]:
        """Append parts of the message; the events of the items that they extend.

        Args:
            parts: The parts.
            logprobs: Of the tokens that became these parts, or whose text is held back.
        """
        if self._fields.has_logprobs:
            hidden = self._fields.hidden_ids
            shown = [token for token in logprobs if token.token_id not in hidden]
            self._unsent += self._entries.of(shown)
        for part in parts:
            yield from self._add(part)

    def end(self, status: Literal["completed", "incomplete"]) -> Iterator[Event]:
        """Complete the last item, with this status."""
        yield from self._close(status)

    def _add(self, part: MessagePart) -> Iterator[Event]:
        match part:
            case ReasoningText():
                self._take(part.text)
                if part.text:
                    kind = GrowingSummary if self._fields.has_summary else GrowingReasoning
                    yield from self._grow(kind, "rs", part.text)
            case ContentText():
                if part.text:
                    entries = self._take(part.text)
                    yield from self._grow(GrowingMessage, "msg", part.text, entries)
            case CallBegun():
                yield from self._close("completed")
                self._call_index = part.index
                item_id = self._id("fc")
                call = GrowingCall(item_id, len(self._done), call_id=part.id, name=part.name)
                yield from self._begin(call)
            case CallArguments():
                assert isinstance(self._open, GrowingCall), "the arguments of a call follow it"
                assert part.index == self._call_index, "the calls of a message do not overlap"
                yield from self._open.grow(part.text)
            case CallEnded():
                yield from self._close("completed")
            case CallCut():
                if isinstance(self._open, GrowingCall):
                    yield from self._close("incomplete")

    def _grow(
        self,
        kind: type[GrowingMessage | GrowingReasoning | GrowingSummary],
        prefix: str,
        text: str,
        entries: Sequence[dict[str, Any]] = (),
    ) -> Iterator[Event]:
        """Append text to the last item, or to a new one if that is of another kind."""
        if not isinstance(self._open, kind):
            yield from self._close("completed")
            has_encrypted = self._fields.has_encrypted
            yield from self._begin(
                kind(self._id(prefix), len(self._done), has_encrypted=has_encrypted)
            )
        assert self._open is not None
        yield from self._open.grow(text, entries)

    def add_empty_message(self) -> Iterator[Event]:
        """Append a message without text, for a completion without any."""
        yield from self._begin(GrowingMessage(self._id("msg"), len(self._done)))

    def _begin(self, item: GrowingItem) -> Iterator[Event]:
        self._open = item
        yield from item.begin()

    def _close(self, status: Status) -> Iterator[Event]:
        if self._open is None:
            return
        yield from self._open.end(status)
        self._done.append(self._open.item(status))
        self._open = None

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._fields.key}_{len(self._done)}"

    def _take(self, text: str) -> list[dict[str, Any]]:
        """The entries of the tokens of a text; those of tokens before it are dropped."""
        if not self._unsent:
            return []
        begin, end = tokens_of(text, [bytes(entry["bytes"]) for entry in self._unsent])
        taken = self._unsent[begin:end]
        del self._unsent[:end]
        return taken
