"""The scores of one step: of the positions that come next, and of tokens that stand already."""

from collections.abc import Mapping, Sequence
from typing import Self, cast

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.model.runner import PassLogits
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.row_ops import take_rows


class StepLogits:
    """The model's scores of the next positions of some rows of the batch."""

    def __init__(self, logits: mx.array, rows: Sequence[int]) -> None:
        """Hold scores.

        Args:
            logits: (scored rows, vocab) float32
            rows: Which row of the batch each of them is, each once.
        """
        self.logits = logits
        self.rows = tuple(rows)

    @classmethod
    def of_rows(cls, by_row: Mapping[int, mx.array]) -> Self:
        """Put the scores of some rows together, each (1, vocab)."""
        rows = sorted(by_row)
        logits = [by_row[row] for row in rows]
        return cls(logits[0] if len(logits) == 1 else mx.concatenate(logits), rows)

    def some(self, indices: Sequence[int]) -> "StepLogits":
        """The scores of some of the scored rows."""
        return StepLogits(take_rows(self.logits, indices), [self.rows[i] for i in indices])


class KnownLogits(Struct, frozen=True, eq=False):
    """The scores of positions whose tokens are known: their log-probabilities are wanted."""

    logits: mx.array  # (positions, vocab) float32
    at: tuple[tuple[Row, int], ...]  # a row, and how many tokens stand before the position


class Remembered(Struct, frozen=True, eq=False):
    """Where the scores of a position that a row may go back to are."""

    scored: PassLogits
    index: int

    @property
    def logits(self) -> mx.array:
        """(1, vocab) float32"""
        return self.scored.logits[self.index : self.index + 1]


def gather(
    rows: Sequence[Row], scored: Sequence[PassLogits]
) -> tuple[StepLogits | None, list[KnownLogits]]:
    """Sort out what a step scored, and let the rows remember it.

    Args:
        rows: The rows of the batch.
        scored: The forward passes.

    Returns:
        The scores of next positions, those that rows remember among them, and the scores of
        known tokens.
    """
    by_row = _recalled(rows)
    known: list[KnownLogits] = []
    for pass_ in scored:
        following = [i for i, (row, at) in enumerate(pass_.positions) if rows[row].is_next(at)]
        for i in following:
            row, length = pass_.positions[i]
            rows[row].remember(length, Remembered(pass_, i))
        if len(following) < len(pass_.positions):
            known.append(_known(rows, pass_, following))
        elif len(scored) == 1 and not by_row:
            return StepLogits(pass_.logits, [row for row, _ in pass_.positions]), known
        by_row.update({pass_.positions[i][0]: pass_.logits[i : i + 1] for i in following})
    return (StepLogits.of_rows(by_row) if by_row else None), known


def _recalled(rows: Sequence[Row]) -> dict[int, mx.array]:
    """The scores of rows that went back to a position that is remembered, each (1, vocab)."""
    recalled: dict[int, mx.array] = {}
    for i, row in enumerate(rows):
        if row.recalls_next:
            recalled[i] = cast(Remembered, row.recall(len(row.state.token_ids))).logits
            row.count_recalled()
    return recalled


def _known(rows: Sequence[Row], pass_: PassLogits, following: Sequence[int]) -> KnownLogits:
    """The scores of a pass that are not of next positions."""
    some = [i for i in range(len(pass_.positions)) if i not in following]
    at = tuple((rows[pass_.positions[i][0]], pass_.positions[i][1]) for i in some)
    return KnownLogits(pass_.logits[mx.array(some)], at)
