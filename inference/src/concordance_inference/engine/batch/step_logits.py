"""The logits of one step, sorted into those to sample from and those of known tokens."""

from collections.abc import Mapping, Sequence
from typing import Self, cast

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.model.runner import PassLogits
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.row_ops import take_rows


class StepLogits:
    """The model's logits of the next positions of some rows of the batch."""

    def __init__(self, logits: mx.array, rows: Sequence[int]) -> None:
        """Hold logits.

        Args:
            logits: (n, vocab) float32
            rows: Their n distinct indices in the batch.
        """
        self.logits = logits
        self.rows = tuple(rows)

    @classmethod
    def concatenated(cls, by_row: Mapping[int, mx.array]) -> Self:
        """Concatenate the logits of rows, (1, vocab) each."""
        rows = sorted(by_row)
        logits = [by_row[row] for row in rows]
        return cls(logits[0] if len(logits) == 1 else mx.concatenate(logits), rows)

    def select(self, indices: Sequence[int]) -> "StepLogits":
        """Return a subset; `indices` count the rows of `logits`, not of the batch."""
        return StepLogits(take_rows(self.logits, indices), [self.rows[i] for i in indices])


class KnownLogits(Struct, frozen=True, eq=False):
    """The logits of positions whose tokens are known, for their logprobs."""

    logits: mx.array  # (positions, vocab) float32
    at: tuple[tuple[Row, int], ...]  # per position: the row, and the length of the prefix before it


class RecentPosition(Struct, frozen=True, eq=False):
    """The logits of one position, which a row may sample from again after a backtrack.

    Refers to the logits of the whole pass. Most are never used, and a slice per row and step
    would cost an operation on the device.
    """

    pass_logits: PassLogits
    index: int

    @property
    def logits(self) -> mx.array:
        """(1, vocab) float32"""
        return self.pass_logits.logits[self.index : self.index + 1]


def sort_logits(
    rows: Sequence[Row], passes: Sequence[PassLogits]
) -> tuple[StepLogits | None, list[KnownLogits]]:
    """Sort the logits of a step, and let the rows remember those of their next positions.

    Args:
        rows: The rows of the batch.
        passes: The logits that each forward pass returned.

    Returns:
        The logits to sample from, remembered ones included, and those of known tokens.
    """
    by_row = _recalled(rows)
    known: list[KnownLogits] = []
    for pass_ in passes:
        following = [
            i for i, (row, at) in enumerate(pass_.positions) if rows[row].speculation.is_next(at)
        ]
        for i in following:
            row, length = pass_.positions[i]
            if rows[row].speculation.remembers:
                rows[row].speculation.remember(length, RecentPosition(pass_, i))
        if len(following) < len(pass_.positions):
            known.append(_known(rows, pass_, following))
        elif len(passes) == 1 and not by_row:  # the usual case, which needs no slices
            return StepLogits(pass_.logits, [row for row, _ in pass_.positions]), known
        by_row.update({pass_.positions[i][0]: pass_.logits[i : i + 1] for i in following})
    return (StepLogits.concatenated(by_row) if by_row else None), known


def _recalled(rows: Sequence[Row]) -> dict[int, mx.array]:
    """Return the remembered logits of rows that backtracked to a recent position."""
    recalled: dict[int, mx.array] = {}
    for i, row in enumerate(rows):
        if not row.speculation.remembers or row.calls.is_parked:
            continue
        if recent := cast(RecentPosition | None, row.speculation.recall_next()):
            recalled[i] = recent.logits
    return recalled


def _known(rows: Sequence[Row], pass_: PassLogits, following: Sequence[int]) -> KnownLogits:
    """Select the logits of a pass that are not of next positions."""
    indices = [i for i in range(len(pass_.positions)) if i not in following]
    at = tuple((rows[pass_.positions[i][0]], pass_.positions[i][1]) for i in indices)
    return KnownLogits(pass_.logits[mx.array(indices)], at)
