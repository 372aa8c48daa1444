"""The rows that run together, and what is laid out per row."""

from collections.abc import Sequence

import mlx.core as mx

from concordance_inference.engine.batch.logprob_queue import SampledTokens
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.missing import without_missing
from concordance_inference.engine.sampling.penalties import Counted, Penalties
from concordance_inference.engine.sampling.sampler import Sampler


class BatchState:
    """The rows of a batch. Index i of every array is `rows[i]`.

    Built anew whenever its membership changes, so that nothing can fall out of step.
    """

    def __init__(
        self, traits: ModelTraits, rows: Sequence[Row] = (), sampled: SampledTokens | None = None
    ) -> None:
        """Lay out rows.

        Args:
            traits: The model's.
            rows: The rows, in order.
            sampled: The tokens just sampled, if any.
        """
        self.rows = list(rows)
        self.sampled = sampled
        self._traits = traits
        params = [row.request.sampling for row in rows]
        self.sampler = Sampler(params, exempt=traits.format_ids)
        self._penalties = Penalties(params, exempt=traits.control_ids)

    def changed(self, keep: Sequence[int], new: Sequence[Row]) -> "BatchState":
        """The batch of the rows `keep`, in that order, with new ones behind them."""
        rows = [*(self.rows[i] for i in keep), *new]
        sampled = self.sampled.of_rows(keep, len(new)) if self.sampled and keep else None
        return BatchState(self._traits, rows, sampled)

    def wanted(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        """The model's scores as the requests want them, by their bias and penalties.

        Ids that no token has cannot be sampled.

        Args:
            logits: (scored rows, vocab) float32
            rows: Which row of the batch each of them is.
        """
        penalties = self._penalties
        logits = self.existing(logits)
        if penalties.change_nothing:
            return logits
        sampled = self.sampled and self.sampled.token_ids
        in_batch = [self.rows[row] for row in penalties.rows]
        counted = [Counted(row.state, row.is_pending) for row in in_batch]
        return penalties.apply(logits, rows, counted, sampled)

    def existing(self, logits: mx.array) -> mx.array:
        """The scores, -inf for ids that no token has.  (rows, vocab) float32"""
        return without_missing(logits, self._traits.vocab_size, self._traits.missing_ids)

    def sample(
        self,
        logits: mx.array,
        rows: Sequence[int],
        temperatures: dict[int, float] | None = None,
    ) -> mx.array:
        """Choose a token for each scored row.  (scored rows,) int32

        Args:
            logits: (scored rows, vocab) float32
            rows: Which row of the batch each of them is.
            temperatures: By row, where a mod set one.
        """
        keys: list[int] = []
        xtc_draws: list[float] = []
        if temperatures or not self.sampler.is_greedy:
            keys = [self.rows[row].draw_key() for row in rows]
            xtc_draws = [self.rows[row].xtc_draw() for row in rows] if self.sampler.has_xtc else []
        whole = [row for row in rows if self.rows[row].ranks_whole]
        return self.sampler.sample(logits, rows, keys, xtc_draws, temperatures, whole)

    def spread(self, token_ids: mx.array, rows: Sequence[int]) -> mx.array:
        """The sampled tokens in the batch's order, with zeros for the other rows.  (rows,) int32"""
        if list(rows) == list(range(len(self.rows))):
            return token_ids
        spread = mx.zeros((len(self.rows),), mx.int32)
        spread[mx.array(list(rows))] = token_ids
        return spread
