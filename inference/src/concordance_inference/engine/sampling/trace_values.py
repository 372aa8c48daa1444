"""Probabilities of sampled tokens for traces: of the model, and after adjustments."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.engine.sampling.log_softmax import in_blocks, normalizer
from concordance_inference.engine.sampling.row_ops import put_rows, take_rows
from concordance_inference.engine.sampling.top_tokens import top_tokens
from concordance_inference.traces.token_history import NUM_TOP


class TraceValues:
    """One row of numbers for each sampled token, on the device until it is read.

    The columns: the log-probability of the token under the model, the one after adjustments, the
    entropy of the model's distribution, the number of tokens that are possible after adjustments;
    then the ids of the most probable tokens, their log-probabilities, and those after adjustments.
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
        at = mx.maximum(token_ids, 0)[:, None]
        ids, _ = top_tokens(logits, min(NUM_TOP, logits.shape[-1]))
        columns = mx.concatenate([at, ids.astype(mx.int32)], axis=-1)
        before, entropy = _logprobs(logits, columns)
        some = [i for i, is_on in enumerate(is_adjusted) if is_on]
        after, num_allowed = mx.zeros_like(before), mx.zeros_like(entropy)
        if some:
            left = take_rows(adjusted, some)
            reference, log_sum = normalizer(left)
            found = mx.take_along_axis(left, take_rows(columns, some), axis=-1)
            after = put_rows(after, some, found - reference - log_sum)
            count = (left > -mx.inf).sum(axis=-1, keepdims=True).astype(mx.float32)
            num_allowed = put_rows(num_allowed, some, count)
        self._values = mx.concatenate(
            [
                before[:, :1],
                after[:, :1],
                entropy,
                num_allowed,
                ids.astype(mx.float32),
                before[:, 1:],
                after[:, 1:],
            ],
            axis=-1,
        )
        mx.async_eval(self._values)

    def read(self) -> list[list[float]]:
        """Return the numbers of each row. Waits for the device."""
        return cast(list[list[float]], self._values.tolist())


def _logprobs(logits: mx.array, columns: mx.array) -> tuple[mx.array, mx.array]:
    """Return the log-probabilities of some tokens of each row, and the row's entropy in nats.

    Args:
        logits: (rows, vocab) float32
        columns: Token ids.  (rows, n) int32

    Returns:
        (rows, n) float32 and (rows, 1) float32
    """
    reference, log_sum = normalizer(logits)
    logprobs = logits - reference - log_sum
    weighted = mx.where(mx.isinf(logprobs), 0.0, mx.exp(logprobs) * logprobs)
    entropy = -in_blocks(weighted, fill=0.0).sum(axis=-1).sum(axis=-1, keepdims=True)
    return mx.take_along_axis(logprobs, columns, axis=-1), entropy
