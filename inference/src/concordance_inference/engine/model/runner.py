"""Runs the model: a plan in, the scores of the positions that it asks for out."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.caches.batch_cache import BatchCache
from concordance_inference.engine.caches.sliding import MARGIN
from concordance_inference.engine.model.calibration.profile import ModelProfile, profile_of
from concordance_inference.engine.model.device import computes_in_16_bit
from concordance_inference.engine.model.lm_head import SelectiveHead
from concordance_inference.engine.plan import Pass, StepPlan


class PassLogits(Struct, frozen=True, eq=False):
    """What a forward pass scored."""

    logits: mx.array  # (positions, vocab) float32, still being computed
    positions: tuple[tuple[int, int], ...]  # row, and how many tokens stand before the position


class ModelRunner:
    """A model and the caches of the batch. Belongs to one thread, as every mlx array does."""

    def __init__(
        self, model: Any, profile: ModelProfile | None = None, *, margin: int = MARGIN
    ) -> None:
        """Take a loaded model.

        Args:
            model: One of mlx-lm's.
            profile: What is known of it; found out by running it if left out.
            margin: How many tokens behind its window a sliding layer keeps.
        """
        self.profile = profile or profile_of(model, margin=margin)
        self.head = SelectiveHead(model, is_trimmed=self.profile.is_trimmed)
        self.profile.layout.log(self.head.name)
        self.computes_in_16_bit = computes_in_16_bit(model)
        self._unfinished: mx.array | None = None  # of the last step that scored nothing
        self.cache = BatchCache(model, margin=margin, is_opaque=self.profile.is_opaque)

    def reset(self) -> None:
        """Drop all rows, what they hold, and the passes that are under way."""
        self._unfinished = None
        self.cache.rebuild((), 0)

    def forward(self, plan: StepPlan, sampled: mx.array | None) -> list[PassLogits]:
        """Launch the forward passes of a plan.

        Args:
            plan: What to read.
            sampled: The tokens just sampled, one for each row.  (rows,) int32

        Returns:
            The scores that were asked for, still being computed. If none were, the passes run on,
            and those of the step before have come to their end.
        """
        scored: list[PassLogits] = []
        logits: mx.array | None = None
        for pass_ in plan.passes:
            logits = run_pass(self.head, self.cache, pass_, _inputs(pass_, sampled))
            if pass_.needs_logits:
                scored.append(PassLogits(logits, tuple(_lengths(pass_))))
            if len(plan.passes) > 1:
                # Launched before the next is built, or that would write into a copy of the caches.
                mx.async_eval(logits if pass_.needs_logits else self.cache.arrays())
        if not scored and logits is not None:
            self._launch(logits)
        return scored

    def _launch(self, last: mx.array) -> None:
        """Start a step that scores nothing, and wait for the one before.

        The device works on one chunk of a prompt while the graph of the next is built; nothing
        else bounds how many are under way, with all that they compute. What is waited for is the
        one position that the head scores in any case: to hold on to the caches would make the
        next chunk write into copies of them.

        Args:
            last: The scores of the step's last pass.
        """
        mx.async_eval(self.cache.arrays(), last)
        before, self._unfinished = self._unfinished, last
        if before is not None:
            mx.eval(before)


def run_pass(head: SelectiveHead, cache: BatchCache, pass_: Pass, tokens: mx.array) -> mx.array:
    """One forward pass.

    Args:
        head: The model.
        cache: What it remembers of the rows.
        pass_: What is read.
        tokens: (rows, tokens) int32

    Returns:
        The scores of the wanted positions in order.  (positions, vocab) float32
    """
    cache.begin(pass_)
    logits = head(tokens, cache.layers, list(_wanted(pass_)))
    cache.end()
    return logits


def _wanted(pass_: Pass) -> Sequence[tuple[int, int]]:
    """The positions to score: row and position in the pass."""
    return [
        (read.row - pass_.first, position)
        for read in pass_.reads
        for position in range(read.num_tokens - read.num_logits, read.num_tokens)
    ]


def _lengths(pass_: Pass) -> Sequence[tuple[int, int]]:
    """The same positions: row of the batch, and how many tokens stand before."""
    starts = {read.row: read.start for read in pass_.reads}
    return [
        (pass_.first + row, starts[pass_.first + row] + position + 1)
        for row, position in _wanted(pass_)
    ]


def _inputs(pass_: Pass, sampled: mx.array | None) -> mx.array:
    """The token ids that a pass's rows read, padded with zeros.  (rows, tokens) int32"""
    rows, num_tokens = len(pass_.starts), pass_.num_tokens
    known = [[0] * num_tokens for _ in range(rows)]
    from_device = [False] * rows
    for read in pass_.reads:
        if read.token_ids is None:
            from_device[read.row - pass_.first] = True
        else:
            known[read.row - pass_.first][: read.num_tokens] = read.token_ids
    if not any(from_device):
        return mx.array(known, mx.int32)
    assert sampled is not None
    fresh = sampled[pass_.rows, None]
    if all(from_device):
        return fresh
    fresh = mx.pad(fresh, [(0, 0), (0, num_tokens - 1)])
    return mx.where(mx.array(from_device)[:, None], fresh, mx.array(known, mx.int32))
