"""Text of a completion that its client must not see yet, or not at all.

A mod declares a fixed number of tokens with `max_backtrack`. A hold is for what it knows only while
it runs: the question that it will erase, the position to which it may backtrack.

    completion   I t   i s   4 2 . |S u r e ?   y e|
    step         0                 8               15      a self-prompt holds from 8 on
"""

from collections.abc import Callable, Iterator


class Hold:
    """A hold on the completion, from a step on. Made by `Holds.add`.

    Attributes:
        step: The step of the first held token.
        hides: True if the held tokens are never shown: should the request end now, they are
            removed from the completion.
        end: The step after the last hidden token; `None` if all that follow are hidden.
    """

    __slots__ = ("end", "hides", "step")

    def __init__(self, step: int, *, hides: bool, end: int | None) -> None:
        """Hold from `step` on."""
        self.step = step
        self.hides = hides
        self.end = end


class Holds:
    """The holds on the completion of one request, which all its mods share.

    Examples:
        >>> holds = Holds()
        >>> mark, question = holds.add(8), holds.add(3, hides=True)
        >>> holds.first(), holds.first_hidden()
        (3, 3)
        >>> holds.release(question)
        >>> holds.first(), holds.first_hidden()
        (8, None)
    """

    def __init__(self) -> None:
        """Start without a hold."""
        self._holds: list[Hold] = []
        self.trailing: int | None = 0  # tokens held back at the end; `None` for all
        self._lower: Callable[[int], int] | None = None

    def hold_trailing(self, num_tokens: int | None) -> None:
        """Hold back the last tokens, whatever they are; `None` for the whole completion."""
        self.trailing = num_tokens

    def lower_by(self, lower: Callable[[int], int]) -> None:
        """Release at most as many tokens as `lower` returns for the number that others release."""
        self._lower = lower

    def lowered(self, num_tokens: int) -> int:
        """Return the tokens to release of `num_tokens` that all other holds release."""
        return self._lower(num_tokens) if self._lower and num_tokens > 0 else num_tokens

    def __bool__(self) -> bool:
        return bool(self._holds)

    def __iter__(self) -> Iterator[Hold]:
        return iter(self._holds)

    def add(self, step: int, *, hides: bool = False, end: int | None = None) -> Hold:
        """Hold back the tokens from a step on; see `Hold`."""
        hold = Hold(step, hides=hides, end=end)
        self._holds.append(hold)
        return hold

    def release(self, hold: Hold | None) -> None:
        """Remove a hold; does nothing if it is removed already, or `None`."""
        if hold in self._holds:
            self._holds.remove(hold)

    def clear(self) -> None:
        """Remove every hold."""
        self._holds.clear()

    def first(self) -> int | None:
        """The step of the first held token; `None` without a hold."""
        return min((hold.step for hold in self._holds), default=None)

    def first_hidden(self) -> int | None:
        """The step of the first token that is not shown; `None` if there is none."""
        return min((hold.step for hold in self._holds if hold.hides), default=None)

    def num_visible(self, length: int) -> int:
        """The number of tokens before everything that is not shown.

        Args:
            length: The completion's length.
        """
        hidden = self.first_hidden() if self._holds else None
        return length if hidden is None else min(hidden, length)

    def hidden_spans(self, length: int) -> list[tuple[int, int]]:
        """The hidden spans of a completion as `(begin, end)`, last one first.

        Args:
            length: The completion's length.
        """
        spans = (
            (hold.step, length if hold.end is None else min(hold.end, length))
            for hold in self._holds
            if hold.hides
        )
        return sorted((span for span in spans if span[0] < span[1]), reverse=True)
