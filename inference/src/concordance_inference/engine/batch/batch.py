"""The rows that run together, and the arrays with one entry per row."""

from collections.abc import Collection, Sequence

import mlx.core as mx

from concordance_inference.engine.batch.sampled_tokens import SampledTokens
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.request.late_calls import reads_logits
from concordance_inference.engine.request.row import Row, takes_token
from concordance_inference.engine.sampling.banned import without_banned
from concordance_inference.engine.sampling.early_ends import Ending, without_early_ends
from concordance_inference.engine.sampling.legal import only_legal
from concordance_inference.engine.sampling.missing import without_missing
from concordance_inference.engine.sampling.penalties import Counted, Penalties
from concordance_inference.engine.sampling.rng import XTC_SERIES, draw_key, uniform
from concordance_inference.engine.sampling.sampler import Sampler
from concordance_inference.token_rules import LegalTokens


class BatchState:
    """The rows of a batch. Index i of every array belongs to `rows[i]`.

    Replaced as a whole when rows join or leave, so that no array can get out of step.
    """

    def __init__(
        self,
        traits: ModelTraits,
        rows: Sequence[Row] = (),
        sampled: SampledTokens | None = None,
        *,
        num_candidates: int | None = None,
    ) -> None:
        """Create a batch.

        Args:
            traits: The model's.
            rows: The rows, in order.
            sampled: The tokens that the last step sampled for them.
            num_candidates: Of the sampler.
        """
        self.rows = list(rows)
        self.sampled = sampled
        self._traits = traits
        params = [row.request.sampling for row in rows]
        self._num_candidates = num_candidates
        self.sampler = Sampler(params, traits.format_ids, num_candidates)
        self._penalties = Penalties(params, exempt=traits.control_ids)
        self._asked = {i for i, row in enumerate(rows) if row.request.sampled_logprobs}
        self._has_rules = any(row.rules for row in rows)
        self._may_ban = any(row.loops and row.loops.rewinds for row in rows)
        self._has_min_tokens = any(row.request.min_tokens for row in rows)

    def changed(self, keep: Sequence[int], new: Sequence[Row]) -> "BatchState":
        """Return the batch of the rows `keep`, in this order, followed by new rows."""
        rows = [*(self.rows[i] for i in keep), *new]
        sampled = self.sampled.regrouped(keep, len(new)) if self.sampled and keep else None
        return BatchState(self._traits, rows, sampled, num_candidates=self._num_candidates)

    def penalized(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        """Apply the bias, penalties, banned tokens and `min_tokens` of requests to the logits.

        Args:
            logits: (n, vocab) float32
            rows: Their n indices in the batch.

        Returns:
            (n, vocab) float32, -inf for ids without a token and for tokens that end too early.
        """
        logits = self._penalized(self.without_missing_ids(logits), rows)
        if self._may_ban:
            logits = without_banned(logits, [_banned(self.rows[row]) for row in rows])
        if not self._has_min_tokens:
            return logits
        return without_early_ends(logits, [_ending(self.rows[row]) for row in rows])

    def _penalized(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        penalties = self._penalties
        if penalties.change_nothing:
            return logits
        sampled = self.sampled and self.sampled.token_ids
        in_batch = [self.rows[row] for row in penalties.rows]
        counted = [Counted(row.state, takes_token(row)) for row in in_batch]
        return penalties.apply(logits, rows, counted, sampled)

    def without_missing_ids(self, logits: mx.array) -> mx.array:
        """Set the logits of ids without a token to -inf.  (n, vocab) float32"""
        return without_missing(logits, self._traits.vocab_size, self._traits.missing_ids)

    def legal(self, logits: mx.array, rows: Sequence[int]) -> mx.array:
        """Mask the tokens that the rules of n rows forbid. Before `sample`.  (n, vocab) float32"""
        if not self._has_rules:
            return logits
        in_batch = [self.rows[row] for row in rows]
        may_be_empty = any(
            reads_logits(row) or row.adjusted_by or row.request.min_tokens for row in in_batch
        )
        legal = [_legal(row) for row in in_batch]
        return only_legal(logits, legal, may_be_empty=may_be_empty)

    def sample(
        self,
        logits: mx.array,
        rows: Sequence[int],
        temperatures: dict[int, float] | None = None,
    ) -> tuple[mx.array, mx.array | None]:
        """Sample a token for each of n rows.

        Args:
            logits: After `legal`.  (n, vocab) float32
            rows: Their n indices in the batch.
            temperatures: By index in the batch, where a mod set one.

        Returns:
            (n,) int32, and (n,) float32: their log-probabilities under the distributions that they
            were sampled from, NaN for rows without `sampled_logprobs`; `None` if none has it.
        """
        if self.sampler.is_greedy and not temperatures and not self._asked:
            return self.sampler.best(logits), None
        xtc_draws: list[float] = []
        in_batch = [self.rows[row] for row in rows]
        keys = [draw_key(row.seed, row.draw_index) for row in in_batch]
        if self.sampler.has_xtc:
            xtc_draws = [uniform(row.seed ^ XTC_SERIES, row.draw_index) for row in in_batch]
        sort_all = [row for row in rows if self.rows[row].sorts_all_tokens]
        return self.sampler.sample_with_logprobs(
            logits, rows, keys, xtc_draws, temperatures, sort_all, self._asked
        )

    def in_batch_order(self, token_ids: mx.array, rows: Sequence[int]) -> mx.array:
        """Scatter the tokens of n rows to one per row of the batch, zero for the others.

        Args:
            token_ids: (n,) int32
            rows: Their n indices in the batch.

        Returns:
            (rows,) int32
        """
        if list(rows) == list(range(len(self.rows))):
            return token_ids
        scattered = mx.zeros((len(self.rows),), mx.int32)
        scattered[mx.array(list(rows))] = token_ids
        return scattered


def _legal(row: Row) -> LegalTokens | None:
    """Return the tokens that a row's next position is sampled from; `None` for all."""
    return row.rules and row.rules.mask(is_pending=row.speculation.is_pending)


def _next_step(row: Row) -> int:
    """Return the step that is sampled next: the token before it may be on the device only."""
    return row.state.num_completion + row.speculation.is_pending


def _banned(row: Row) -> Collection[int]:
    """Return the tokens that may not continue a row at the next position."""
    return row.loops.banned(_next_step(row)) if row.loops else ()


def _ending(row: Row) -> Ending | None:
    """Return what may not end a row's completion at the next position."""
    if not row.request.min_tokens:
        return None
    return Ending(_next_step(row), row.request.min_tokens, row.state.eos_ids)
