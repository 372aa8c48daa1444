"""Splits the text of a completion into reasoning, content, and the marks around them."""

from collections.abc import Callable, Iterator
from copy import copy
from typing import Literal, Self

from msgspec import Struct

from concordance_inference.reasoning import Reasoning

#: The most white space, in characters, that is dropped where reasoning or content begins or ends.
_MAX_SPACE = 256


class TextPiece(Struct, frozen=True):
    """A piece of a completion's text. Marks are tags and the white space around them."""

    kind: Literal["reasoning", "content", "mark"]
    text: str


class TextSplit:
    """Splits the text of a completion into pieces, which together are the whole text.

    The reasoning comes first: tags that follow content are content. Text that may be the
    beginning of a tag is held back until it is known.
    """

    def __init__(self, reasoning: Reasoning) -> None:
        """Start before the first character."""
        self._reasoning = reasoning
        self._closing = reasoning.opened[1] if reasoning.opened else ""
        self._held = ""
        self._next: Callable[[bool], TextPiece | None] = self._before_reasoning

    def copy(self) -> Self:
        """Return a split of the same text, which can grow in another way."""
        copied = copy(self)
        copied._next = getattr(copied, self._next.__name__)  # noqa: SLF001  # bound to the copy
        return copied

    def add(self, text: str) -> list[TextPiece]:
        """Return the pieces that more text adds."""
        self._held += text
        return list(self._pieces(is_end=False))

    def end(self) -> list[TextPiece]:
        """Return the pieces of the text that was held back."""
        return list(self._pieces(is_end=True))

    def _pieces(self, *, is_end: bool) -> Iterator[TextPiece]:
        while self._held:
            before = self._next
            piece = self._next(is_end)
            if piece:
                yield piece
            elif self._next == before:
                return

    def _take(self, length: int, kind: Literal["reasoning", "content", "mark"]) -> TextPiece:
        text, self._held = self._held[:length], self._held[length:]
        return TextPiece(kind, text)

    # The states, in order. Each returns the next piece of what is held, or changes the state, or
    # neither: more text is needed.

    def _before_reasoning(self, is_end: bool) -> TextPiece | None:  # noqa: FBT001
        """The opening tag, which a model may repeat that the prompt has opened."""
        text = self._held.lstrip()
        num_space = len(self._held) - len(text)
        if num_space <= _MAX_SPACE:
            for opening, closing in self._reasoning.tags:
                if text.startswith(opening):
                    self._closing, self._next = closing, self._start_of_reasoning
                    return self._take(num_space + len(opening), "mark")
            if not is_end and any(tag.startswith(text) for tag in self._reasoning.opening):
                return None
        self._next = self._start_of_reasoning if self._closing else self._content
        return None

    def _start_of_reasoning(self, is_end: bool) -> TextPiece | None:  # noqa: FBT001
        del is_end
        return self._space(self._inside_reasoning)

    def _inside_reasoning(self, is_end: bool) -> TextPiece | None:  # noqa: FBT001
        end = self._held.find(self._closing)
        is_closed = end >= 0
        if not is_closed:
            end = len(self._held) - (0 if is_end else _num_open(self._held, self._closing))
        num_text = max(len(self._held[:end].rstrip()), end - _MAX_SPACE)
        if num_text:
            return self._take(num_text, "reasoning")
        if is_closed:
            self._next = self._start_of_content
            return self._take(end + len(self._closing), "mark")
        return self._take(end, "mark") if is_end else None

    def _start_of_content(self, is_end: bool) -> TextPiece | None:  # noqa: FBT001
        del is_end
        return self._space(self._content)

    def _content(self, is_end: bool) -> TextPiece | None:  # noqa: FBT001
        """The content without the marks that some models write around it."""
        marks = self._reasoning.content_marks
        found = [(at, mark) for mark in marks if (at := self._held.find(mark)) >= 0]
        if found:
            end, mark = min(found)
            return self._take(end, "content") if end else self._take(len(mark), "mark")
        num_open = 0 if is_end else max((_num_open(self._held, m) for m in marks), default=0)
        end = len(self._held) - num_open
        return self._take(end, "content") if end else None

    def _space(self, following: Callable[[bool], TextPiece | None]) -> TextPiece | None:
        """White space, before the following state."""
        num_space = len(self._held) - len(self._held.lstrip())
        if num_space:
            return self._take(num_space, "mark")
        self._next = following
        return None


def _num_open(text: str, tag: str) -> int:
    """The number of characters of a tag that a text ends with, less than all of them."""
    lengths = range(min(len(text), len(tag) - 1), 0, -1)
    return next((n for n in lengths if text.endswith(tag[:n])), 0)
