"""The rows of logits that mods are given, and those of them that mods keep."""

import weakref
from collections.abc import Callable

import mlx.core as mx

from concordance_inference.engine.sampling.logits_row import LogitsRow, RowSource


class GivenRows:
    """Gives mods the rows of a step, and separates those that they keep from the step's logits.

    A row refers to the logits of the whole step, so that giving it costs no operation on the
    device. A mod that kept it would keep those of all requests in memory. So in the next step,
    the rows that are still referred to are copied:

        step    given     referred to in the next step    copied
        1       a b c     a                               a
        2       a b c     none                            none
    """

    def __init__(self, existing: Callable[[mx.array], mx.array]) -> None:
        """Start before the first step.

        Args:
            existing: Masks the ids without a token, in a mod's own row.
        """
        self._existing = existing
        self._sources: list[weakref.ref[RowSource]] = []

    def give(self, logits: mx.array, index: int) -> LogitsRow:
        """Return a row of a step.

        Args:
            logits: The logits of all rows of the step.  (rows, vocab) float32
            index: The row's index in `logits`.
        """
        source = RowSource(logits, index)
        self._sources.append(weakref.ref(source))
        return LogitsRow(source, existing=self._existing)

    def unread(self, logits: mx.array) -> LogitsRow:
        """Return a row without actions, for all requests whose mods do not handle `ForwardPass`.

        Args:
            logits: The logits of all rows of the step.  (rows, vocab) float32
        """
        return LogitsRow(RowSource(logits, 0))

    def separate_kept(self) -> None:
        """Copy the rows of earlier steps that mods have kept."""
        for reference in self._sources:
            if source := reference():
                source.separate()
        self._sources.clear()
