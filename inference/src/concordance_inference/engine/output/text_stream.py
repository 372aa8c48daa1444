"""What a client may be shown of a completion, and when."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from concordance_sdk.detokenizer import Detokenizer

from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.generation import TextDelta


class TextStream:
    """Follows a completion's tokens, finds stop strings, and says what is new.

    Shows nothing that may still be taken back: not tokens that are not released, not text that
    later tokens may change, not what may turn out to be a stop string, not half a character. With
    `retracts` it shows everything at once and says what was taken back instead.

    The stop string that is completed first ends the text, however the tokens came: the text is
    searched after each token, and tokens behind the one that completed it are not looked at.
    """

    def __init__(self, decoder: Detokenizer, stop: StopStrings, *, retracts: bool = False) -> None:
        """Follow a completion that has no tokens yet.

        Args:
            decoder: Gives the tokens' text.
            stop: The strings at which the text ends.
            retracts: Show tokens before they are released.
        """
        self._decoder = decoder
        self._stop = stop
        self._retracts = retracts
        self._ends: list[int] = []  # per token: length of the text up to it
        self._stopped_at: int | None = None  # where the text ends, if a stop string was found
        self._num_shown = 0  # characters
        self._num_retracted = 0  # characters, shown and taken back since the last delta

    def follow(self, unchanged: int, token_ids: Sequence[int]) -> None:
        """Take in what the completion has become.

        Args:
            unchanged: How many of its tokens are those of the last call.
            token_ids: The tokens behind them.
        """
        if unchanged < len(self._ends):
            self._stopped_at = None
            self._set_ends(self._decoder.truncate(unchanged), unchanged)
        if not self._stop:
            self._extend(token_ids)
            return
        for token_id in token_ids:
            if self.has_stopped:
                break
            unsearched = max(0, self._extend([token_id]) - self._stop.longest + 1)
            found = self._stop.find(self._text_from(unsearched))
            self._stopped_at = None if found is None else unsearched + found

    @property
    def has_stopped(self) -> bool:
        """Whether the text holds a stop string."""
        return self._stopped_at is not None

    def delta(self, num_released: int) -> TextDelta | None:
        """What can be shown now and was not, or `None`.

        Args:
            num_released: How many of the completion's tokens cannot be taken back any more.
        """
        limit = self._length if self._retracts else self._final_length(num_released)
        if self._stopped_at is not None:
            limit = min(limit, self._stopped_at)
        elif self._stop:
            begin = max(0, limit - self._stop.longest)
            limit -= self._stop.open_length(self._text_from(begin)[: limit - begin])
        return self._show(self._text_from(self._num_shown)[: max(0, limit - self._num_shown)])

    def last_delta(self) -> TextDelta | None:
        """What is left to show once the completion has ended, or `None`.

        An incomplete run of byte tokens reads differently at the end than on the way there.
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
        """How many tokens have a part in the text that was shown."""
        return self.tokens_in(self._num_shown)

    def tokens_in(self, num_characters: int) -> int:
        """How many tokens have a part in the first characters of the text."""
        if not num_characters:
            return 0
        return min(bisect_left(self._ends, num_characters) + 1, len(self._ends))

    def text(self) -> str:
        """The whole text, to the stop string if there is one."""
        if self._stopped_at is not None:
            return self._text_from(0)[: self._stopped_at]
        return self._decoder.text()

    @property
    def _length(self) -> int:
        """How many characters the text has, without half a one at its end."""
        return self._ends[-1] if self._ends else 0

    def _final_length(self, num_tokens: int) -> int:
        """How many characters stand whatever follows the first `num_tokens` tokens."""
        num_tokens = min(num_tokens, len(self._ends))
        num_final = self._decoder.final[num_tokens - 1] if num_tokens else 0
        return self._ends[num_final - 1] if num_final else 0

    def _text_from(self, begin: int) -> str:
        """The text from character `begin` on, without joining what stands before it."""
        token = bisect_right(self._ends, begin)
        before = self._ends[token - 1] if token else 0
        return "".join(self._decoder.pieces[token:])[begin - before :]

    def _extend(self, token_ids: Sequence[int]) -> int:
        """Append tokens; return how many characters are unchanged."""
        unchanged = self._decoder.extend(token_ids)
        return self._set_ends(unchanged, len(self._ends) + len(token_ids))

    def _set_ends(self, unchanged: int, num_tokens: int) -> int:
        """Measure the pieces that changed; return how many characters are unchanged."""
        del self._ends[unchanged:]
        begin = length = self._length
        for piece in self._decoder.pieces[unchanged:num_tokens]:
            length += len(piece)
            self._ends.append(length)
        lost = max(0, self._num_shown - begin)
        self._num_shown -= lost
        self._num_retracted += lost
        return begin

    def _show(self, text: str) -> TextDelta | None:
        retracted, self._num_retracted = self._num_retracted, 0
        self._num_shown += len(text)
        return TextDelta(text=text, retracted=retracted) if text or retracted else None
