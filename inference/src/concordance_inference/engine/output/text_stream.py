"""The text of a completion, streamed once it is final."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence

from concordance_sdk.detokenizer import Detokenizer

from concordance_inference.engine.output.content_scope import ContentScope
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.generation import TextDelta
from concordance_inference.mark import Mark, MarkedTokens


class TextStream:
    """Detokenizes a completion, finds stop strings, and returns new text.

    Text is final, and returned, once its tokens are released, no later token can change it, and
    it cannot be the start of a stop string or of a character. With `retracts` all text is
    returned immediately, and later retracted if it changes.

    The stop string that is completed first ends the text. The text is searched after each token,
    so the result does not depend on how many tokens arrive together.

    The names of marked tokens are returned whole, with marks, until the completion ends.
    """

    def __init__(
        self,
        decoder: Detokenizer,
        stop: StopStrings,
        *,
        min_tokens: int = 0,
        retracts: bool = False,
        marked: Collection[int] = (),
        given: Sequence[int] = (),
        num_shown: int = 0,
        content: ContentScope | None = None,
    ) -> None:
        """Start with the beginning of a completion.

        Args:
            decoder: Detokenizes the completion.
            stop: The stop strings.
            min_tokens: Leading tokens that complete no stop string.
            retracts: Return text before its tokens are released.
            marked: Special tokens whose names are part of the text.
            given: The beginning, in which no stop string is searched.
            num_shown: Leading characters of its text that are not returned.
            content: Where stop strings count; everywhere by default.
        """
        self._content = content
        self._decoder = decoder
        self._stop = stop
        self._min_tokens = min_tokens
        self._retracts = retracts
        self._marked = MarkedTokens(marked)
        self._ends: list[int] = []  # per token: length of the text up to and including it
        self._stopped_at: int | None = None  # start of the stop string, if one was found
        self._stop_string: str | None = None
        self._num_searched = len(given)  # leading tokens whose text was searched for stop strings
        self._num_shown = 0  # characters returned
        self._num_retracted = 0  # characters returned and changed since the last delta
        self._extend(given)
        self._num_shown = num_shown

    def follow(
        self, unchanged: int, token_ids: Sequence[int], *, num_visible: int | None = None
    ) -> None:
        """Update the completion.

        Args:
            unchanged: Number of leading tokens that are the same as in the last call.
            token_ids: The tokens after them.
            num_visible: Number of leading tokens to search for stop strings; all by default.
        """
        if unchanged < len(self._ends):
            if unchanged < self._num_searched:
                self._stopped_at = None
            self._marked.follow(unchanged, ())
            self._set_ends(self._decoder.truncate(unchanged), unchanged)
        if not self._stop:
            self._extend(token_ids)
            return
        self._num_searched = min(self._num_searched, unchanged)
        end = unchanged + len(token_ids)
        num_visible = end if num_visible is None else min(num_visible, end)
        for i in range(self._num_searched, end):
            if self.has_stopped:
                break
            begin = self._ends[i - 1] if i else 0
            if i >= unchanged:
                begin = self._extend([token_ids[i - unchanged]])
            if i < num_visible:
                self._search(begin, self._ends[i])

    def _search(self, begin: int, end: int) -> None:
        """Search the next token, whose text begins and ends at these characters."""
        self._num_searched += 1
        if self._num_searched <= self._min_tokens:
            return
        unsearched = max(0, begin - self._stop.longest + 1)
        if self._content is not None:
            index = self._num_searched - 1
            span = self._content.unsearched(
                index, (unsearched, begin), self._ends, self._decoder.pieces
            )
            if span is None or span[0] >= end:
                return
            unsearched, begin = span
        text = self._text_from(unsearched)[: end - unsearched]
        found = self._stop.find(text, after=begin - unsearched)
        self._stopped_at = None if found is None else unsearched + found
        self._stop_string = None if found is None else self._stop.string_at(text, found)

    @property
    def stop_string(self) -> str | None:
        """The stop string at which the text ends."""
        return self._stop_string if self.has_stopped else None

    @property
    def has_stopped(self) -> bool:
        """True if the text contains a stop string."""
        return self._stopped_at is not None

    @property
    def num_before_end(self) -> int | None:
        """Number of leading tokens up to the one that completes the stop string, if any."""
        return self._num_searched if self.has_stopped else None

    def delta(self, num_released: int) -> TextDelta | None:
        """Return the new final text, if any.

        Args:
            num_released: Number of leading tokens that no mod can backtrack over any more.
        """
        limit = self._length if self._retracts else self._final_length(num_released)
        if self._stopped_at is not None:
            limit = min(limit, self._stopped_at)
        elif self._stop:
            begin = max(0, limit - self._stop.longest)
            limit -= self._stop.open_length(self._text_from(begin)[: limit - begin])
        if self._stop and self._marked:
            limit = self._marked.before_name(limit, self._decoder.pieces, self._ends)
        return self._show(self._text_from(self._num_shown)[: max(0, limit - self._num_shown)])

    def last_delta(self) -> TextDelta | None:
        """Return the rest of the text when the completion has ended, if any.

        A run of byte tokens that is never completed is decoded differently at the end.
        """
        if self._retracts:
            shown, text = self._text_from(0)[: self._num_shown], self.text()
            while not text.startswith(shown):
                shown = shown[:-1]
            self._num_retracted += self._num_shown - len(shown)
            self._num_shown = len(shown)
        return self._show(self.text()[self._num_shown :])

    @property
    def num_shown_tokens(self) -> int:
        """Number of leading tokens whose text was at least partly returned."""
        return self.tokens_in(self._num_shown)

    def tokens_in(self, num_characters: int) -> int:
        """Return how many leading tokens the first `num_characters` of the text belong to."""
        if not num_characters:
            return 0
        return min(bisect_left(self._ends, num_characters) + 1, len(self._ends))

    def text(self) -> str:
        """Return the whole text, up to a stop string."""
        if self._stopped_at is not None:
            return self._text_from(0)[: self._stopped_at]
        return self._decoder.text()

    def marks(self, begin: int = 0) -> tuple[Mark, ...]:
        """Return where the names of marked tokens are in the text from a character on."""
        return self._marks_between(begin, len(self.text())) if self._marked else ()

    @property
    def num_chars(self) -> int:
        """Length of the text in characters, without an incomplete character at its end."""
        return self._length

    def split(self, num_chars: int) -> tuple[int | None, str]:
        """Return how many tokens end within the first `num_chars` characters, and the rest of them.

        The number is `None` if the text is shorter.

            pieces "It" " is" "n't"    split(2) -> 1, ""    split(4) -> 1, " i"
        """
        if num_chars > self._length:
            return None, ""
        token = bisect_left(self._ends, num_chars) if num_chars else -1
        if token < 0 or self._ends[token] == num_chars:
            return token + 1, ""
        begin = self._ends[token - 1] if token else 0
        return token, self._text_from(begin)[: num_chars - begin]

    @property
    def _length(self) -> int:
        """Length of the text in characters, without an incomplete character at its end."""
        return self._ends[-1] if self._ends else 0

    def _final_length(self, num_tokens: int) -> int:
        """Return the length of the text that no token after the first `num_tokens` can change."""
        num_tokens = min(num_tokens, len(self._ends))
        num_final = self._decoder.final[num_tokens - 1] if num_tokens else 0
        return self._ends[num_final - 1] if num_final else 0

    def _text_from(self, begin: int) -> str:
        """Return the text from character `begin` on; takes time in proportion to its length."""
        token = bisect_right(self._ends, begin)
        before = self._ends[token - 1] if token else 0
        return "".join(self._decoder.pieces[token:])[begin - before :]

    def _extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return the length of the text that did not change."""
        unchanged = self._decoder.extend(token_ids)
        if not self._marked.ids.isdisjoint(token_ids):
            self._marked.follow(len(self._ends), token_ids)
        return self._set_ends(unchanged, len(self._ends) + len(token_ids))

    def _set_ends(self, unchanged: int, num_tokens: int) -> int:
        """Update the text lengths of changed pieces; return the length that did not change."""
        del self._ends[unchanged:]
        begin = length = self._length
        for piece in self._decoder.pieces[unchanged:num_tokens]:
            length += len(piece)
            self._ends.append(length)
        lost = max(0, self._num_shown - begin)
        self._num_shown -= lost
        self._num_retracted += lost
        return begin

    def _marks_between(self, begin: int, end: int) -> tuple[Mark, ...]:
        return self._marked.between(begin, end, self._decoder.pieces, self._ends)

    def _show(self, text: str) -> TextDelta | None:
        if not text and not self._num_retracted:
            return None
        retracted, self._num_retracted = self._num_retracted, 0
        begin = self._num_shown
        self._num_shown = end = begin + len(text)
        marks = self._marks_between(begin, end) if self._marked else ()
        return TextDelta(text=text, retracted=retracted, marks=marks)
