"""The logits of one step, row by row."""

from collections.abc import Mapping, Sequence
from typing import Self

import mlx.core as mx


class Scores:
    """The logits of a batch, and which of its rows can be decided by them.

    The other rows hold whatever a pass computed for them on its way, or zeros.
    """

    def __init__(self, logits: mx.array, rows: Sequence[int]) -> None:
        """Hold the logits of a batch.

        Args:
            logits: (rows, vocab) float32
            rows: The rows whose next position can be decided.
        """
        self.logits = logits
        self.rows = tuple(rows)

    @classmethod
    def of_rows(cls, by_row: Mapping[int, mx.array], num_rows: int) -> Self:
        """The scores of a batch of which some rows are scored.

        Args:
            by_row: The logits of those rows, each (1, vocab) float32.
            num_rows: How many rows the batch has.
        """
        blank = mx.zeros_like(next(iter(by_row.values())))
        return cls(
            mx.concatenate([by_row.get(row, blank) for row in range(num_rows)]), sorted(by_row)
        )

    def of_row(self, row: int) -> mx.array:
        """The logits of one row.  (1, vocab) float32."""
        return self.logits[row : row + 1]

    def with_rows(self, by_row: Mapping[int, mx.array]) -> "Scores":
        """The same scores, with other rows scored beside."""
        scored = {row: self.of_row(row) for row in self.rows} | dict(by_row)
        return Scores.of_rows(scored, self.logits.shape[0])
