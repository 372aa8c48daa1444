"""Reads the rest of a message whose beginning an earlier response has."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from concordance_shared import FinishReason
from msgspec.structs import replace

from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    CallEnded,
    ContentText,
    MessagePart,
    ReasoningText,
    joined,
)
from concordance_inference.chat.message_reader import MessageReader, ReaderFactory, read_parts
from concordance_inference.generation import Completed, TextDelta
from concordance_inference.resume.beginning import Beginning


class ShownTail:
    """The end of a text that a client has, and that the new text repeats or replaces.

    Examples:
        >>> repeated, replaced = ShownTail(" <"), ShownTail("a\ufffd")
        >>> repeated.new(" <b>"), repeated.num_replaced
        ('b>', 0)
        >>> replaced.new("ah"), replaced.num_replaced
        ('h', 1)
    """

    def __init__(self, text: str) -> None:
        """Expect a text."""
        self._text = text
        self.num_replaced = 0  # characters of the client's text that the new text does not repeat

    def new(self, text: str) -> str:
        """Return what a client lacks of more text."""
        if not self._text:
            return text
        num_same = _num_common(self._text, text)
        left = self._text[num_same:]
        self._text = left
        if len(text) > num_same:
            self.end()
        return text[num_same:]

    def end(self) -> None:
        """Count what is left as replaced: other text follows, or none."""
        self.num_replaced += len(self._text)
        self._text = ""


class ResumedReader:
    """Reads the rest of a message: reasoning and content after the cut, and calls that it ends.

    The text before the cut is read first, so that a tag, a name or a character in which it was cut
    is complete. A call that was cut is reported as a whole: the earlier response has its text as
    content, if at all.

        earlier     content "It is <tool_call>{"na"
        rest        me": "now", "arguments": {}}</tool_call>
        reported    the call of `now`; of the earlier content, 16 characters are replaced
    """

    def __init__(
        self,
        make: ReaderFactory,
        beginning: Beginning,
        *,
        had_cut_call: bool = True,
        has_cut_call: bool = True,
    ) -> None:
        """Read the beginning.

        Args:
            make: Makes a reader of a whole message.
            beginning: What was generated earlier.
            had_cut_call: The earlier response has the text of a call that was cut as content.
            has_cut_call: This one does.
        """
        self.inner: MessageReader = make()
        known_text = TextDelta(text=beginning.text, marks=beginning.marks)
        parts = list(self.inner.add(known_text)) if beginning.text else []
        known, shown = joined(parts), joined(_shown(make(), beginning, had_cut_call))
        self._content = ShownTail(shown.content.removeprefix(known.content))
        self._reasoning = ShownTail(shown.reasoning.removeprefix(known.reasoning))
        self._num_calls = sum(isinstance(part, CallEnded) for part in parts)
        self._reopened = [part for part in parts if _is_of_call(part, self._num_calls)]
        self._num_replaced_calls = int(bool(self._reopened) and not had_cut_call)
        self._has_cut_call = has_cut_call

    @property
    def has_earlier_calls(self) -> bool:
        """True if the earlier response has a complete call."""
        return self._num_calls > 0

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return the parts that more text adds."""
        return [*self._new(self.inner.add(delta))]

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return the parts that were held back."""
        parts = [*self._new(self.inner.end(completed))]
        self._content.end()
        self._reasoning.end()
        return parts

    def about(self) -> dict[str, Any]:
        """What this message replaces at the end of the earlier one: characters, and calls."""
        counts = {
            "content": self._content.num_replaced,
            "reasoning": self._reasoning.num_replaced,
            "tool_calls": self._num_replaced_calls,
        }
        replaced = {name: count for name, count in counts.items() if count}
        return {"replaced": replaced} if replaced else {}

    def _new(self, parts: Iterable[MessagePart]) -> Iterator[MessagePart]:
        reopened, self._reopened = self._reopened, []
        for part in (*reopened, *parts):
            match part:
                case ReasoningText(text):
                    if new := self._reasoning.new(text):
                        yield ReasoningText(new)
                case ContentText(text):
                    if new := self._content.new(text):
                        yield ContentText(new)
                case CallCut(index, text):
                    new = self._content.new(text) if self._has_cut_call else text
                    yield CallCut(index - self._num_calls, new)
                case CallBegun() | CallArguments() | CallEnded():
                    yield replace(part, index=part.index - self._num_calls)


def _shown(reader: MessageReader, beginning: Beginning, has_cut_call: bool) -> list[MessagePart]:  # noqa: FBT001
    """The parts of the earlier response."""
    cut = Completed(
        text=beginning.shown,
        marks=beginning.shown_marks,
        token_ids=(),
        finish_reason=FinishReason.LENGTH,
        prompt_tokens=0,
        completion_tokens=0,
    )
    return [
        part for part in read_parts(reader, cut) if has_cut_call or not isinstance(part, CallCut)
    ]


def _is_of_call(part: MessagePart, index: int) -> bool:
    return isinstance(part, CallBegun | CallArguments) and part.index == index


def _num_common(first: str, second: str) -> int:
    """The number of characters with which both texts begin."""
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return i
    return min(len(first), len(second))
