"""Limits what is shown of a message's reasoning and content. Generation continues."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from concordance_inference.chat.message_parts import (
    CallCut,
    ContentText,
    MessagePart,
    ReasoningText,
)
from concordance_inference.chat.message_reader import MessageReader
from concordance_inference.generation import Completed, TextDelta

#: Follows a text of which more is not shown.
MARK = "\u2026"


class Shortened:
    """A text that is shown up to a number of characters, followed by `MARK` if there is more.

    Examples:
        >>> shortened = Shortened(4)
        >>> shortened.shown("Hel"), shortened.shown("lo, "), shortened.shown("you")
        ('Hel', 'l\u2026', '')
        >>> shortened.num_hidden
        6
    """

    def __init__(self, limit: int | None) -> None:
        """Show up to `limit` characters; all if `None`."""
        self._left = limit
        self.num_hidden = 0

    def shown(self, text: str) -> str:
        """Return what is shown of more text."""
        if self._left is None:
            return text
        shown = text[: self._left]
        self._left -= len(shown)
        is_first = len(shown) < len(text) and not self.num_hidden
        self.num_hidden += len(text) - len(shown)
        return shown + MARK if is_first else shown


class TruncatedReader:
    """Reads a message of which only the first characters are shown. Calls of tools are whole."""

    def __init__(
        self, inner: MessageReader, *, reasoning: int | None = None, content: int | None = None
    ) -> None:
        """Read a message.

        Args:
            inner: Reads all of it.
            reasoning: The most characters of its reasoning; `None` for all.
            content: The most characters of its content; `None` for all.
        """
        self.inner = inner
        self._reasoning = Shortened(reasoning)
        self._content = Shortened(content)

    def add(self, delta: TextDelta) -> Sequence[MessagePart]:
        """Return what is shown of the parts that more text adds."""
        return [*self._shown(self.inner.add(delta))]

    def end(self, completed: Completed) -> Sequence[MessagePart]:
        """Return what is shown of the parts that were held back."""
        return [*self._shown(self.inner.end(completed))]

    def about(self) -> dict[str, Any]:
        """The number of characters that are not shown."""
        counts = {"reasoning": self._reasoning.num_hidden, "content": self._content.num_hidden}
        hidden = {name: count for name, count in counts.items() if count}
        return {"truncated": hidden} if hidden else {}

    def _shown(self, parts: Iterable[MessagePart]) -> Iterator[MessagePart]:
        for part in parts:
            match part:
                case ReasoningText(text):
                    if shown := self._reasoning.shown(text):
                        yield ReasoningText(shown)
                case ContentText(text):
                    if shown := self._content.shown(text):
                        yield ContentText(shown)
                case CallCut(index, text):  # its text is content
                    yield CallCut(index, self._content.shown(text))
                case _:
                    yield part
