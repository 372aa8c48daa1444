"""Whether a bet pays: reading ahead of mods, sorting a few tokens only. No arrays."""

#: For how many tokens nothing is bet after a bet was lost, the first time and at most.
_FIRST = 32
_MOST = 1024


class SpeculationBackoff:
    """Remembers of one row when a bet was lost.

    Reading ahead pays if mods leave tokens alone; sorting a few tokens pays if they are enough.
    Each time that it was in vain, it is not done for a while, and for twice as long the next time.
    """

    def __init__(self) -> None:
        """Begin trustful."""
        self._left = 0
        self._next = _FIRST

    @property
    def is_on(self) -> bool:
        """Whether not to bet on the next token."""
        return self._left > 0

    def note(self, *, was_wasted: bool) -> None:
        """Take in what became of one more token."""
        if was_wasted:
            self._left = self._next
            self._next = min(2 * self._next, _MOST)
        else:
            self._left = max(0, self._left - 1)
