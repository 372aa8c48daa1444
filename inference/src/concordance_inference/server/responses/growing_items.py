"""Items of a response while the model generates them: each change is an event of the stream."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from msgspec import UNSET

from concordance_inference.server.responses.encrypted_content import encoded_reasoning
from concordance_inference.server.responses.items import (
    FunctionCallItem,
    Item,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Status,
    SummaryText,
)
from concordance_inference.server.responses.token_logprobs import without_bytes

Event = dict[str, Any]
Entries = Sequence[dict[str, Any]]


class GrowingItem(Protocol):
    """An item that grows."""

    def item(self, status: Status) -> Item:
        """The item so far."""
        ...

    def begin(self) -> Iterator[Event]:
        """The events of the empty item."""
        ...

    def grow(self, text: str, entries: Entries = ()) -> Iterator[Event]:
        """Append text with the logprobs of its tokens."""
        ...

    def end(self, status: Status) -> Iterator[Event]:
        """The events of the complete item."""
        ...


class _Growing:
    """An item with text, and its place in the response."""

    def __init__(self, item_id: str, index: int, *, has_encrypted: bool = False) -> None:
        """Start an empty item.

        Args:
            item_id: Its id.
            index: Its place among the items of the response.
            has_encrypted: Reasoning has an `encrypted_content`.
        """
        self._id = item_id
        self._index = index
        self._has_encrypted = has_encrypted
        self._pieces: list[str] = []

    @property
    def _text(self) -> str:
        """The text so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def _event(self, name: str, **fields: Any) -> Event:
        return {
            "type": f"response.{name}",
            "item_id": self._id,
            "output_index": self._index,
            **fields,
        }

    def _item_event(self, name: str, item: Item) -> Event:
        return {"type": f"response.output_item.{name}", "output_index": self._index, "item": item}


class GrowingMessage(_Growing):
    """A message with one part of text."""

    def __init__(self, item_id: str, index: int, *, has_encrypted: bool = False) -> None:
        """Start an empty message."""
        super().__init__(item_id, index, has_encrypted=has_encrypted)
        self._entries: list[dict[str, Any]] = []

    def item(self, status: Status) -> MessageItem:
        """The message so far."""
        content = (self._part(),)
        return MessageItem(id=self._id, role="assistant", status=status, content=content)

    def begin(self) -> Iterator[Event]:
        """The events of the empty message."""
        empty = MessageItem(id=self._id, role="assistant", status="in_progress")
        yield self._item_event("added", empty)
        yield self._event("content_part.added", content_index=0, part=self._part())

    def grow(self, text: str, entries: Entries = ()) -> Iterator[Event]:
        """Append text with the logprobs of its tokens."""
        self._pieces.append(text)
        self._entries += entries
        logprobs = without_bytes(entries)
        yield self._event("output_text.delta", content_index=0, delta=text, logprobs=logprobs)

    def end(self, status: Status) -> Iterator[Event]:
        """The events of the complete message."""
        logprobs = without_bytes(self._entries)
        yield self._event("output_text.done", content_index=0, text=self._text, logprobs=logprobs)
        yield self._event("content_part.done", content_index=0, part=self._part())
        yield self._item_event("done", self.item(status))

    def _part(self) -> OutputText:
        return OutputText(text=self._text, logprobs=tuple(self._entries))


class GrowingReasoning(_Growing):
    """Reasoning whose text is its content."""

    def item(self, status: Status) -> ReasoningItem:
        """The reasoning so far."""
        text = self._text
        return ReasoningItem(
            id=self._id,
            status=status,
            content=(ReasoningText(text),),
            encrypted_content=encoded_reasoning(text) if self._has_encrypted else UNSET,
        )

    def begin(self) -> Iterator[Event]:
        """The events of the empty reasoning."""
        yield self._item_event("added", ReasoningItem(id=self._id, status="in_progress"))
        yield self._event("content_part.added", content_index=0, part=ReasoningText(""))

    def grow(self, text: str, entries: Entries = ()) -> Iterator[Event]:
        """Append text."""
        del entries
        self._pieces.append(text)
        yield self._event("reasoning_text.delta", content_index=0, delta=text)

    def end(self, status: Status) -> Iterator[Event]:
        """The events of the complete reasoning."""
        part = ReasoningText(self._text)
        yield self._event("reasoning_text.done", content_index=0, text=part.text)
        yield self._event("content_part.done", content_index=0, part=part)
        yield self._item_event("done", self.item(status))


class GrowingSummary(_Growing):
    """Reasoning whose text is its summary."""

    def item(self, status: Status) -> ReasoningItem:
        """The reasoning so far."""
        text = self._text
        return ReasoningItem(
            id=self._id,
            status=status,
            summary=(SummaryText(text),),
            encrypted_content=encoded_reasoning(text) if self._has_encrypted else UNSET,
        )

    def begin(self) -> Iterator[Event]:
        """The events of the empty reasoning."""
        yield self._item_event("added", ReasoningItem(id=self._id, status="in_progress"))
        yield self._event("reasoning_summary_part.added", summary_index=0, part=SummaryText(""))

    def grow(self, text: str, entries: Entries = ()) -> Iterator[Event]:
        """Append text."""
        del entries
        self._pieces.append(text)
        yield self._event("reasoning_summary_text.delta", summary_index=0, delta=text)

    def end(self, status: Status) -> Iterator[Event]:
        """The events of the complete reasoning."""
        part = SummaryText(self._text)
        yield self._event("reasoning_summary_text.done", summary_index=0, text=part.text)
        yield self._event("reasoning_summary_part.done", summary_index=0, part=part)
        yield self._item_event("done", self.item(status))


class GrowingCall(_Growing):
    """A call of a function."""

    def __init__(self, item_id: str, index: int, *, call_id: str, name: str) -> None:
        """Start a call without arguments.

        Args:
            item_id: Its id.
            index: Its place among the items of the response.
            call_id: The id that its output repeats.
            name: The function.
        """
        super().__init__(item_id, index)
        self._call_id = call_id
        self._name = name

    def item(self, status: Status) -> FunctionCallItem:
        """The call so far."""
        return FunctionCallItem(
            id=self._id,
            call_id=self._call_id,
            name=self._name,
            arguments=self._text,
            status=status,
        )

    def begin(self) -> Iterator[Event]:
        """The event of the call without arguments."""
        yield self._item_event("added", self.item("in_progress"))

    def grow(self, text: str, entries: Entries = ()) -> Iterator[Event]:
        """Append text of the arguments."""
        del entries
        self._pieces.append(text)
        if text:
            yield self._event("function_call_arguments.delta", delta=text)

    def end(self, status: Status) -> Iterator[Event]:
        """The events of the complete call."""
        yield self._event("function_call_arguments.done", arguments=self._text)
        yield self._item_event("done", self.item(status))
