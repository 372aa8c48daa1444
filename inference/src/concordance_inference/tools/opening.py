"""Finds where a completion opens the calls of tools, while it grows and shrinks."""

from concordance_sdk.text import CompletionText, Cut, PhraseWatch
from msgspec import Struct

from concordance_inference.reasoning import Reasoning
from concordance_inference.tools.layout import Layout


class _Watch(Struct, eq=False):
    """A search for a phrase, from a position that was decided when the text had a length."""

    begin: int
    decided_at: int
    phrase: PhraseWatch


class Opening:
    """Watches the content of a completion, which follows its reasoning, for the marker of calls.

    As the readers do: a tag opens the reasoning only at the start, and the first marker counts.
    """

    def __init__(self, text: CompletionText, layout: Layout, reasoning: Reasoning | None) -> None:
        """Watch a completion.

        Args:
            text: The completion, which the caller follows.
            layout: The format of calls.
            reasoning: How the reasoning is marked; `None` if there is none.
        """
        self._text = text
        self._layout = layout
        self._reasoning = reasoning
        self._closing: _Watch | None = None  # for the tag that closes the reasoning
        self._content: _Watch | None = None  # for the marker
        self._end: int | None = None  # of the marker
        text.on_cut(self._cut)

    @property
    def is_found(self) -> bool:
        """True if the completion has a marker."""
        return self._end is not None

    def find(self) -> Cut | None:
        """Return the end of the marker once it is in the text; `None` before and afterwards."""
        if self._end is not None:
            return None
        if self._content is None:
            begin = self._content_begin()
            if begin is None:
                return None
            self._content = self._watch(self._layout.marker, begin)
        found = self._content.phrase.find()
        if found is None:
            return None
        before = self._text.tail(self._content.begin)[: found.start - self._content.begin]
        if self._layout.at_start and before.strip():
            return None
        self._end = found.end
        return self._text.cut(found.end)

    def _content_begin(self) -> int | None:
        """The character at which the content begins; `None` while the reasoning continues."""
        if self._reasoning is None:
            return 0
        if self._closing is None:
            text = str(self._text)
            start = text.lstrip()
            tag = next(((a, b) for a, b in self._reasoning.tags if start.startswith(a)), None)
            if tag is None and any(a.startswith(start) for a, _ in self._reasoning.tags):
                return None
            if tag is None and self._reasoning.opened is None:
                return 0
            begin = len(text) - len(start) + len(tag[0]) if tag else 0
            closing = (tag or self._reasoning.opened or ("", ""))[1]
            self._closing = self._watch(closing, begin)
        found = self._closing.phrase.find()
        return None if found is None else found.end

    def _watch(self, phrase: str, begin: int) -> _Watch:
        watch = PhraseWatch(self._text, phrase, begin=begin)
        return _Watch(begin=begin, decided_at=len(self._text), phrase=watch)

    def _cut(self, num_chars: int) -> None:
        """Forget what is no longer in the text."""
        if self._end is not None and num_chars < self._end:
            self._end = None
        if self._content and num_chars < self._content.decided_at:
            self._content.phrase.close()
            self._content = None
        if self._closing and num_chars < self._closing.decided_at:
            self._closing.phrase.close()
            self._closing = None
