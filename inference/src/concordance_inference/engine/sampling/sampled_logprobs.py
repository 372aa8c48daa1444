"""Log-probabilities of sampled tokens under the distributions that they were sampled from."""

import math
from collections.abc import Sequence

import mlx.core as mx

from concordance_inference.engine.sampling.log_softmax import log_softmax_at
from concordance_inference.engine.sampling.row_ops import put_rows, take_rows


def greedy_logprobs(are_asked: Sequence[bool]) -> mx.array | None:
    """Return those of rows that take the most probable token: 0, or NaN where none is asked for.

    Returns:
        (rows,) float32; `None` if none is asked for.
    """
    if not any(are_asked):
        return None
    return mx.array([0.0 if is_asked else math.nan for is_asked in are_asked])


def with_drawn(
    logprobs: mx.array,
    are_asked: Sequence[bool],
    drawn: Sequence[int],
    kept: mx.array,
    token_ids: mx.array,
) -> mx.array:
    """Set those of rows that draw.

    Args:
        logprobs: `greedy_logprobs`.  (rows,) float32
        are_asked: True for each row whose log-probability is needed.
        drawn: The rows that draw, in ascending order.
        kept: Logits after temperature and filters; -inf for what is dropped.  (drawn, vocab)
        token_ids: What they drew.  (drawn,) int32

    Returns:
        (rows,) float32
    """
    some = [i for i, row in enumerate(drawn) if are_asked[row]]
    if not some:
        return logprobs
    chosen = mx.maximum(take_rows(token_ids, some), 0)[:, None]
    found = log_softmax_at(take_rows(kept, some), chosen)[:, 0]
    return put_rows(logprobs, [drawn[i] for i in some], found)
