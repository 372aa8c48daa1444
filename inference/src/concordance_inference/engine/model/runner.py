"""Runs the model: takes a plan, returns the logits of the positions that it requests."""

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
    """The logits of a forward pass."""

    logits: mx.array  # (positions, vocab) float32, still being computed
    positions: tuple[tuple[int, int], ...]  # row, and length of the prefix that the logits follow


class ModelRunner:
    """A model and the caches of the batch. Used by one thread only, as every mlx array is."""

    def __init__(
        self, model: Any, profile: ModelProfile | None = None, *, margin: int = MARGIN
    ) -> None:
        """Make empty caches, and log which rows can share passes.

        Args:
            model: One of mlx-lm's, loaded.
            profile: Its calibration; `None` to calibrate it now.
            margin: Tokens that a sliding-window layer keeps beyond its window.
        """
        self.profile = profile or profile_of(model, margin=margin)
        self.head = SelectiveHead(model, is_selective=self.profile.is_selective)
        self.profile.layout.log(self.head.name)
        self.computes_in_16_bit = computes_in_16_bit(model)
        self._unfinished: mx.array | None = None  # of the last step without logits
        self.cache = BatchCache(model, margin=margin, is_opaque=self.profile.is_opaque)

    def reset(self) -> None:
        """Drop all rows, their caches, and the passes that are still running."""
        self._unfinished = None
        self.cache.rebuild((), 0)

    def forward(self, plan: StepPlan, sampled: mx.array | None) -> list[PassLogits]:
        """Launch the forward passes of a plan.

        Args:
            plan: The tokens to process.
            sampled: The tokens just sampled, one for each row.  (rows,) int32

        Returns:
            The requested logits, still being computed. A step without logits is launched and not
            waited for, once the previous one of that kind has finished.
        """
        results: list[PassLogits] = []
        logits: mx.array | None = None
        for pass_ in plan.passes:
            positions = _logit_positions(pass_)
            logits = run_pass(self.head, self.cache, pass_, _inputs(pass_, sampled), positions)
            if positions:
                results.append(PassLogits(logits, tuple(_prefix_lengths(pass_, positions))))
            if len(plan.passes) > 1:
                # Launch it before the next pass is built: while the graph of this one refers to the
                # caches, the next would write into copies of them.
                mx.async_eval(logits if positions else self.cache.arrays())
        if not results and logits is not None:
            self._launch(logits)
        return results

    def _launch(self, last: mx.array) -> None:
        """Launch a step without logits, and wait for the previous one.

            host      build 1   launch 1   build 2   launch 2, wait for 1   build 3   launch 3 ...
            device                         chunk 1 ...                 chunk 2 ...

        The device prefills one chunk of a prompt while the host builds the graph of the next. No
        sampled token limits how many chunks are queued, with the memory for their activations, so
        this does. It waits for the one position that the head computes in any case, not for the
        caches: while a reference to the caches is held, the next chunk writes into copies of them.

        Args:
            last: The logits of the step's last pass.
        """
        mx.async_eval(self.cache.arrays(), last)
        before, self._unfinished = self._unfinished, last
        if before is not None:
            mx.eval(before)


def run_pass(
    head: SelectiveHead,
    cache: BatchCache,
    pass_: Pass,
    tokens: mx.array,
    positions: Sequence[tuple[int, int]] | None = None,
) -> mx.array:
    """Build one forward pass.

    Args:
        head: The model.
        cache: The caches of the batch.
        pass_: The rows and their tokens.
        tokens: (rows, tokens) int32
        positions: Those with logits, as (row, position) in the pass; `None` for the pass's own.

    Returns:
        The requested logits in order.  (positions, vocab) float32
    """
    cache.begin(pass_)
    positions = _logit_positions(pass_) if positions is None else positions
    logits = head(tokens, cache.layers, positions)
    cache.end()
    return logits


def _logit_positions(pass_: Pass) -> Sequence[tuple[int, int]]:
    """List the positions with logits as (row, position) in the pass."""
    return [
        (read.row - pass_.first, position)
        for read in pass_.reads
        for position in range(read.num_tokens - read.num_logits, read.num_tokens)
    ]


def _prefix_lengths(pass_: Pass, positions: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """List the same positions as (row of the batch, length of the prefix that logits follow)."""
    starts = {read.row: read.start for read in pass_.reads}
    return [
        (pass_.first + row, starts[pass_.first + row] + position + 1) for row, position in positions
    ]


def _inputs(pass_: Pass, sampled: mx.array | None) -> mx.array:
    """Build the token ids of a pass, padded with zeros.  (rows, tokens) int32

    Known ids come from the plan, and pending ones from `sampled`, without waiting for the device.
    """
    rows, num_tokens = len(pass_.starts), pass_.num_tokens
    are_pending = [read.token_ids is None for read in pass_.reads]
    if sampled is not None and len(are_pending) == rows and all(are_pending):
        return sampled[pass_.rows, None]
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
    pending = mx.pad(sampled[pass_.rows, None], [(0, 0), (0, num_tokens - 1)])
    return mx.where(mx.array(from_device)[:, None], pending, mx.array(known, mx.int32))
