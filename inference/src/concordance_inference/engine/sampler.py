"""Chooses a token for each row: pure functions of logits, parameters and random numbers."""

from collections.abc import Sequence

import mlx.core as mx

from concordance_inference.engine.draws import NO_TOKEN
from concordance_inference.generation import SamplingParams


class SamplingArrays:
    """The sampling parameters of a batch. Index i of every array is row i."""

    def __init__(self, params: Sequence[SamplingParams]) -> None:
        """Lay out the parameters of every row."""
        self.temperature = mx.array([p.temperature for p in params])  # (rows,) 0: the best token
        self.top_p = mx.array([p.top_p for p in params])  # (rows,) 1: keep all
        self.min_p = mx.array([p.min_p for p in params])  # (rows,) 0: keep all
        self.top_k = mx.array([p.top_k or _ALL for p in params], mx.int32)  # (rows,)
        self.is_greedy = all(p.temperature == 0 for p in params)
        self.filtered = [i for i, p in enumerate(params) if _filters(p)]  # rows that drop tokens


_ALL = 2**31 - 1


def _filters(p: SamplingParams) -> bool:
    return p.top_p < 1 or p.top_k > 0 or p.min_p > 0


def sample(
    logits: mx.array,  # (rows, vocab) float32
    arrays: SamplingArrays,
    draws: mx.array | None,  # (rows,) float32 in [0, 1); not needed if every row is greedy
    temperature: mx.array | None = None,  # (rows,) instead of the arrays' own
) -> mx.array:  # (rows,) int32
    """Choose a token for each row; `NO_TOKEN` where the row has none to choose.

    Temperature first, then top-k, top-p and min-p, then one draw by inversion: the first token at
    which the running sum of probabilities passes the draw.
    """
    best = _best(logits)
    if temperature is None:
        temperature = arrays.temperature
        if arrays.is_greedy:
            return best
    assert draws is not None
    scaled = logits / mx.maximum(temperature, 1e-6)[:, None]
    drawn = _draw(_keep_likely_rows(scaled, arrays), draws)
    return mx.where(temperature == 0, best, drawn)


def _best(logits: mx.array) -> mx.array:
    """The likeliest token of each row.  (rows, vocab) -> (rows,) int32"""
    best = mx.argmax(logits, axis=-1)
    score = mx.take_along_axis(logits, best[:, None], axis=-1)[:, 0]
    return mx.where(mx.isfinite(score), best.astype(mx.int32), NO_TOKEN)


def _draw(scores: mx.array, draws: mx.array) -> mx.array:
    """One token a row, by its probability.  (rows, vocab), (rows,) -> (rows,) int32"""
    running = mx.cumsum(mx.softmax(scores, axis=-1), axis=-1)
    total = running[:, -1]  # not a number if any score was none, or all were -inf
    token = mx.argmax(running > (draws * total)[:, None], axis=-1)
    return mx.where(mx.isfinite(total), token.astype(mx.int32), NO_TOKEN)


def _keep_likely_rows(scaled: mx.array, arrays: SamplingArrays) -> mx.array:
    """Apply top-k, top-p and min-p to the rows that ask for any of them."""
    rows = arrays.filtered
    if not rows:
        return scaled
    if len(rows) == scaled.shape[0]:
        return keep_likely(scaled, arrays.top_k, arrays.top_p, arrays.min_p)
    some = mx.array(rows)
    cut = keep_likely(scaled[some], arrays.top_k[some], arrays.top_p[some], arrays.min_p[some])
    by_row = list(mx.split(scaled, scaled.shape[0]))
    for i, row in enumerate(rows):
        by_row[row] = cut[i : i + 1]
    return mx.concatenate(by_row)


def keep_likely(
    scores: mx.array,  # (rows, vocab) float32
    top_k: mx.array,  # (rows,) int32, at least 1
    top_p: mx.array,  # (rows,) float32
    min_p: mx.array,  # (rows,) float32
) -> mx.array:  # (rows, vocab) float32
    """Drop unlikely tokens: -inf where a token falls to top-k, top-p or min-p.

    The filters apply one after the other, each to what the one before it left, and tokens that
    score the same stay or go together. The likeliest always stays.
    """
    ordered = mx.sort(scores, axis=-1)[:, ::-1]
    rank = mx.arange(ordered.shape[-1])
    ordered = mx.where(rank < top_k[:, None], ordered, -mx.inf)
    probs = mx.softmax(ordered, axis=-1)
    before = mx.cumsum(probs, axis=-1, inclusive=False)
    stays = (before < top_p[:, None]) & (probs >= min_p[:, None] * probs[:, :1]) & (probs > 0)
    num_kept = mx.maximum((stays | (rank == 0)).astype(mx.int32).sum(axis=-1, keepdims=True), 1)
    threshold = mx.take_along_axis(ordered, num_kept - 1, axis=-1)
    return mx.where(scores >= threshold, scores, -mx.inf)
