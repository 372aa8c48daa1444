"""The rows that run together, and what is laid out per row."""

from collections.abc import Sequence

import mlx.core as mx

from concordance_inference.engine.row import Row
from concordance_inference.engine.sampler import SamplingArrays


class BatchState:
    """The rows of a batch. Index i of every array is `rows[i]`.

    Built anew whenever its membership changes, so that nothing can fall out of step.
    """

    def __init__(self, rows: Sequence[Row] = (), sampled: mx.array | None = None) -> None:
        """Lay out rows.

        Args:
            rows: The rows, in order.
            sampled: The tokens just sampled, still on the device.  (rows,) int32
        """
        self.rows = list(rows)
        self.sampling = SamplingArrays([row.request.sampling for row in rows])
        self.sampled = sampled

    def changed(self, keep: Sequence[int], new: Sequence[Row]) -> "BatchState":
        """The batch of the rows `keep`, in that order, with new ones behind them."""
        rows = [*(self.rows[i] for i in keep), *new]
        sampled = self.sampled
        if sampled is not None:
            fill = mx.zeros((len(new),), mx.int32)
            sampled = (
                mx.concatenate([sampled[mx.array(list(keep), mx.int32)], fill]) if keep else None
            )
        return BatchState(rows, sampled)

    def draws(self) -> mx.array | None:
        """A random number for each row.  (rows,) float32; `None` if none is needed."""
        if self.sampling.is_greedy:
            return None
        return mx.array([row.draw() for row in self.rows])
