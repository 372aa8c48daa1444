"""What a client may be shown of a completion, and when."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from concordance_inference.engine.decoder import Decoder
from concordance_inference.engine.stop import StopStrings
from concordance_inference.generation import TextDelta


class TextStream:
    """Follows a completion's tokens, finds stop strings, and says what is new.

    Shows nothing that may still be taken back: not tokens that are not released, not what may
    turn out to be a stop string, not half a character. With `retracts` it shows everything at
    once and says what was taken back instead.
    """

    def __init__(self, decoder: Decoder, stop: StopStrings, *, retracts: bool = False) -> None:
        """Follow a completion that has no tokens yet.

        Args:
            decoder: Gives the tokens' text.
            stop: The strings at which the text ends.
            retracts: Show tokens before they are released.
        """
        self._decoder = decoder
        self._stop = stop
        self._retracts = retracts
        self._token_ids: list[int] = []
        self._ends: list[int] = []  # per token: how long the text is behind it
        self._stopped_at: int | None = None  # where the text ends, if a stop string was found
        self._num_shown = 0  # characters
        self._num_retracted = 0  # characters, shown and taken back since the last delta

    def follow(self, unchanged: int, token_ids: Sequence[int]) -> None:
        """Take in what the completion has become.

        Args:
            unchanged: How many of its tokens are those of the last call.
            token_ids: The tokens behind them.
        """
        self._cut(unchanged)
        checked = self._length
        for token_id in token_ids:
            self._decoder.append(token_id)
            self._token_ids.append(token_id)
            self._ends.append(self._length + len(self._decoder.pieces[-1]))
        if self._stop and self._stopped_at is None:
            begin = max(0, checked - self._stop.longest + 1)
            found = self._stop.find(self._text_from(begin))
            self._stopped_at = None if found is None else begin + found

    @property
    def has_stopped(self) -> bool:
        """Whether the text holds a stop string."""
        return self._stopped_at is not None

    def delta(self, num_released: int) -> TextDelta | None:
        """What can be shown now and was not, or `None`.

        Args:
            num_released: How many of the completion's tokens cannot be taken back any more.
        """
        num_tokens = len(self._ends) if self._retracts else min(num_released, len(self._ends))
        limit = self._ends[num_tokens - 1] if num_tokens else 0
        if self._stop:
            tail = self._text_from(max(0, self._length - self._stop.longest))
            open_end = self._length - self._stop.open_length(tail)
            limit = min(limit, open_end if self._stopped_at is None else self._stopped_at)
        return self._show(self._text_from(self._num_shown)[: max(0, limit - self._num_shown)])

    def last_delta(self) -> TextDelta | None:
        """What is left to show once the completion has ended, or `None`."""
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
        return self._text_from(0) + self._decoder.rest()

    @property
    def _length(self) -> int:
        """How many characters the text has."""
        return self._ends[-1] if self._ends else 0

    def _text_from(self, begin: int) -> str:
        """The text from character `begin` on, without joining what stands before it."""
        token = bisect_right(self._ends, begin)
        before = self._ends[token - 1] if token else 0
        return "".join(self._decoder.pieces[token:])[begin - before :]

    def _cut(self, num_tokens: int) -> None:
        if num_tokens == len(self._token_ids):
            return
        self._decoder.truncate(num_tokens)
        del self._token_ids[num_tokens:]
        del self._ends[num_tokens:]
        self._stopped_at = None
        lost = max(0, self._num_shown - self._length)
        self._num_shown -= lost
        self._num_retracted += lost

    def _show(self, text: str) -> TextDelta | None:
        retracted, self._num_retracted = self._num_retracted, 0
        self._num_shown += len(text)
        return TextDelta(text=text, retracted=retracted) if text or retracted else None
