"""Probabilities of sampled tokens for traces: of the model, and after adjustments."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.engine.sampling.exponential import LEAST, exp
from concordance_inference.engine.sampling.fused import fused
from concordance_inference.engine.sampling.log_softmax import in_blocks
from concordance_inference.engine.sampling.row_ops import put_rows, take_rows
from concordance_inference.engine.sampling.top_tokens import top_tokens
from concordance_inference.traces.token_history import NUM_TOP


class TraceValues:
    """One row of numbers for each sampled token, on the device until it is read.

    The columns: the log-probability of the token under the model, the one after adjustments, the
    entropy of the model's distribution, the number of tokens that are possible after adjustments
    (0 if adjustments leave all possible); the ids of the model's most probable tokens, their
    log-probabilities, and those after adjustments; the same three of the tokens that are most
    probable after adjustments.
    One array, since each read of an array has a cost. float32 holds token ids below 2^24 exactly.
    """

    def __init__(
        self,
        logits: mx.array,
        token_ids: mx.array,
        adjusted: mx.array,
        is_adjusted: Sequence[bool],
    ) -> None:
        """Launch the computation.

        Args:
            logits: The model's.  (rows, vocab) float32
            token_ids: The sampled tokens.  (rows,) int32
            adjusted: The logits after bias, penalties, constraints and mods.  (rows, vocab) float32
            is_adjusted: Rows for which they may differ; the columns of others are not meaningful.
        """
        self.is_adjusted = tuple(is_adjusted)
        before, columns, log_sum = _before(logits, mx.maximum(token_ids, 0)[:, None])
        some = [i for i, is_on in enumerate(is_adjusted) if is_on]
        after = mx.zeros((logits.shape[0], 2 + 4 * (columns.shape[1] - 1)))
        if some:
            given = (take_rows(each, some) for each in (logits, log_sum, adjusted, columns))
            after = put_rows(after, some, _after(*given))
        self._values = _in_order(before, after, columns)
        mx.async_eval(self._values)

    def read(self) -> list[list[float]]:
        """Return the numbers of each row. Waits for the device."""
        return cast(list[list[float]], self._values.tolist())


@fused
def _before(logits: mx.array, token_ids: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """Return the model's probabilities, with one exponential of each logit.

    With z = logit - maximum and s = sum(exp(z)), a log-probability is z - log(s), and the entropy
    log(s) - sum(exp(z) z) / s. Sums are of blocks, as in `log_softmax`.

    Args:
        logits: (rows, vocab) float32
        token_ids: (rows, 1) int32

    Returns:
        (rows, 2 + n) float32: the log-probability of the token, the entropy, the log-probabilities
        of the n most probable tokens; (rows, 1 + n) int32: the token and these tokens; and
        (rows, 1) float32: the logarithm of the sum of exponentials of the logits.
    """
    ids, top = top_tokens(logits, min(NUM_TOP, logits.shape[-1]))
    shifted = mx.maximum(logits - top[:, :1], LEAST)  # minus infinity times 0 would be NaN
    exponentials = exp(shifted)
    total, weighted = _sum(exponentials), _sum(exponentials * shifted)
    log_sum = mx.log(total)
    chosen = mx.take_along_axis(logits, token_ids, axis=-1)
    entropy = mx.maximum(log_sum - weighted / total, 0.0)
    logprobs = mx.concatenate([chosen, top], axis=-1) - top[:, :1] - log_sum
    before = mx.concatenate([logprobs[:, :1], entropy, logprobs[:, 1:]], axis=-1)
    columns = mx.concatenate([token_ids.astype(mx.int32), ids.astype(mx.int32)], axis=-1)
    return before, columns, top[:, :1] + log_sum


@fused
def _after(logits: mx.array, log_sum: mx.array, adjusted: mx.array, columns: mx.array) -> mx.array:
    """Return what adjustments made of some tokens, and which tokens they made most probable.

    Args:
        logits: The model's.  (rows, vocab) float32
        log_sum: The logarithm of the sum of their exponentials.  (rows, 1) float32
        adjusted: The logits after adjustments.  (rows, vocab) float32
        columns: Token ids.  (rows, 1 + n) int32

    Returns:
        (rows, 2 + 4 n) float32: the log-probabilities of the columns after adjustments, the number
        of tokens that are possible; then ids of the n most probable tokens, and their
        log-probabilities before and after adjustments.
    """
    ids, top = top_tokens(adjusted, columns.shape[-1] - 1)
    reference = top[:, :1]
    adjusted_log_sum = mx.log(_sum(exp(adjusted - reference)))
    found = mx.take_along_axis(adjusted, columns, axis=-1) - reference - adjusted_log_sum
    count, possible = ((each > -mx.inf).sum(axis=-1, keepdims=True) for each in (adjusted, logits))
    count = mx.where(count < possible, count, 0).astype(mx.float32)
    before = mx.take_along_axis(logits, ids, axis=-1) - log_sum
    after = top - reference - adjusted_log_sum
    return mx.concatenate([found, count, ids.astype(mx.float32), before, after], axis=-1)


@fused
def _in_order(before: mx.array, after: mx.array, columns: mx.array) -> mx.array:
    """Put the columns into the order that `TraceValues` describes."""
    n = columns.shape[-1] - 1
    parts = [before[:, :1], after[:, :1], before[:, 1:2], after[:, n + 1 : n + 2]]
    top = [columns[:, 1:].astype(mx.float32), before[:, 2:], after[:, 1 : n + 1]]
    return mx.concatenate([*parts, *top, after[:, n + 2 :]], axis=-1)


def _sum(values: mx.array) -> mx.array:
    """Sum each row.  (rows, n) -> (rows, 1)"""
    return in_blocks(values, fill=0.0).sum(axis=-1).sum(axis=-1, keepdims=True)
