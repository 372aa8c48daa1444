"""Runs the model: a lane of a plan in, the scores of its rows' next positions out."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from concordance_inference.engine.attention_cache import MARGIN
from concordance_inference.engine.batch_cache import BatchCache
from concordance_inference.engine.last_position import score_last_position_only
from concordance_inference.engine.plan import Lane, StepPlan
from concordance_inference.engine.scores import Scores


class ModelRunner:
    """A model and the caches of the batch. Belongs to one thread, as every mlx array does."""

    def __init__(self, model: Any, *, margin: int = MARGIN) -> None:
        """Take a loaded model.

        Args:
            model: One of mlx-lm's.
            margin: How many tokens behind its window a sliding layer keeps.

        Raises:
            ModelLoadError: The model wants a cache that cannot be batched.
        """
        self._model = model
        self.cache = BatchCache(model, margin=margin)
        self.trims_head = score_last_position_only(model)

    def forward(self, plan: StepPlan, sampled: mx.array | None) -> Scores | None:
        """Launch the forward passes of a plan.

        Args:
            plan: What to read.
            sampled: The tokens just sampled, one for each row.  (rows,) int32

        Returns:
            The scores of the rows whose next position can be decided, still being computed;
            `None` if there are none, in which case the passes have been run to their end.
        """
        scored: list[tuple[slice, Lane, mx.array]] = []
        unscored = False
        for lane in plan.lanes:
            rows, logits = self._run(plan, lane, sampled)
            if lane.is_scored:
                scored.append((rows, lane, logits))
            unscored |= not lane.is_scored
        if not scored:
            mx.eval(self.cache.arrays())
            return None
        if unscored:
            mx.async_eval(self.cache.arrays())
        return self._gather(scored)

    def _run(self, plan: StepPlan, lane: Lane, sampled: mx.array | None) -> tuple[slice, mx.array]:
        """One forward pass. Returns the rows it covers and their logits, (rows, vocab) float32."""
        wanted = slice(lane.first, lane.last + 1)
        rows = self.cache.begin(wanted, plan.cached, lane.num_tokens)
        tokens = _inputs(lane, rows, sampled)
        logits = self._model(tokens, cache=self.cache.layers)[:, -1]
        return rows, logits.astype(mx.float32)

    def _gather(self, scored: Sequence[tuple[slice, Lane, mx.array]]) -> Scores:
        """The logits of several lanes as those of one batch."""
        covered, lane, logits = scored[0]
        if len(scored) == 1 and covered == slice(0, self.cache.num_rows):
            return Scores(logits, [read.row for read in lane.reads if read.is_scored])
        by_row: dict[int, mx.array] = {}
        for covered, lane, logits in scored:
            for read in lane.reads:
                if read.is_scored:
                    at = read.row - covered.start
                    by_row[read.row] = logits[at : at + 1]
        return Scores.of_rows(by_row, self.cache.num_rows)


def _inputs(lane: Lane, rows: slice, sampled: mx.array | None) -> mx.array:
    """The token ids that a lane's rows read.  (rows, tokens) int32"""
    num_rows = rows.stop - rows.start
    known = [[0] * lane.num_tokens for _ in range(num_rows)]
    from_device = [False] * num_rows
    for read in lane.reads:
        if read.token_ids is None:
            from_device[read.row - rows.start] = True
        else:
            known[read.row - rows.start] = list(read.token_ids)
    if not any(from_device):
        return mx.array(known, mx.int32)
    assert sampled is not None
    fresh = sampled[rows, None]
    if all(from_device):
        return fresh
    return mx.where(mx.array(from_device)[:, None], fresh, mx.array(known, mx.int32))
