"""Backoff after misspeculation. No arrays."""

#: Length of a backoff after the first and after many misses, in tokens.
_FIRST = 32
_LONGEST = 1024


class SpeculationBackoff:
    """Exponential backoff of one speculative optimization of one row.

    Speculation saves time if it usually succeeds: processing a sampled token before mods have
    seen it, or sorting only the top tokens to apply top-p. After a miss it is suspended for some
    tokens, and after each further miss for twice as many.
    """

    def __init__(self) -> None:
        """Start with speculation enabled."""
        self._left = 0
        self._next = _FIRST

    @property
    def is_on(self) -> bool:
        """True if the next token should not be speculated on."""
        return self._left > 0

    def note(self, *, was_wasted: bool) -> None:
        """Record the outcome of one token."""
        if was_wasted:
            self._left = self._next
            self._next = min(2 * self._next, _LONGEST)
        else:
            self._left = max(0, self._left - 1)
