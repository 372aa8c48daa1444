"""Whether reading a token before anyone has seen it pays. No arrays."""

#: For how many tokens nothing is read ahead after a pass was wasted, the first time and at most.
_FIRST = 32
_MOST = 1024


class Caution:
    """Remembers of one row when reading ahead was in vain.

    Reading ahead pays if mods leave tokens alone. Each time that a pass was wasted, nothing is
    read ahead for a while, and for twice as long the next time.
    """

    def __init__(self) -> None:
        """Begin trustful."""
        self._left = 0
        self._next = _FIRST

    @property
    def is_on(self) -> bool:
        """Whether the next token is to be seen before it is read."""
        return self._left > 0

    def note(self, *, was_wasted: bool) -> None:
        """Take in what became of one more token."""
        if was_wasted:
            self._left = self._next
            self._next = min(2 * self._next, _MOST)
        else:
            self._left = max(0, self._left - 1)
