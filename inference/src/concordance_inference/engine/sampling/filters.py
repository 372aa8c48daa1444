"""Drops unlikely tokens, or with XTC likely ones: pure functions of scores.

A dropped token's score becomes -inf. Tokens that score the same stay or go together.
"""

import mlx.core as mx


def kept_by_rank(
    scores: mx.array,  # (rows, vocab) float32
    top_k: mx.array,  # (rows,) int32, at least 1
    top_p: mx.array,  # (rows,) float32
) -> mx.array:  # (rows, vocab) float32
    """Keep the `top_k` likeliest tokens, and of these the likeliest that make up `top_p`.

    The likeliest token always stays.
    """
    ordered = mx.sort(scores, axis=-1)[:, ::-1]
    rank = mx.arange(ordered.shape[-1])
    ordered = mx.where(rank < top_k[:, None], ordered, -mx.inf)
    probs = mx.softmax(ordered, axis=-1)
    before = mx.cumsum(probs, axis=-1, inclusive=False)
    stays = (before < top_p[:, None]) & (probs > 0)
    num_kept = mx.maximum(stays.astype(mx.int32).sum(axis=-1, keepdims=True), 1)
    threshold = mx.take_along_axis(ordered, num_kept - 1, axis=-1)
    return mx.where(scores >= threshold, scores, -mx.inf)


def kept_by_min_p(
    scores: mx.array,  # (rows, vocab) float32
    min_p: mx.array,  # (rows,) float32; 0 keeps all
) -> mx.array:  # (rows, vocab) float32
    """Keep the tokens that are at least `min_p` times as likely as the likeliest."""
    threshold = scores.max(axis=-1, keepdims=True) + mx.log(min_p)[:, None]
    return mx.where(scores >= threshold, scores, -mx.inf)


def without_top_choices(
    scores: mx.array,  # (rows, vocab) float32
    threshold: mx.array,  # (rows,) float32
    exempt: mx.array,  # (vocab,) bool: tokens that always stay
) -> mx.array:  # (rows, vocab) float32
    """Exclude top choices (XTC): drop the tokens above a probability but for one.

    Of those that are at least as likely as `threshold`, the least likely stays, so that a model
    says something else than the obvious where it has the choice, and nothing else where it has
    none.
    """
    probs = mx.softmax(scores, axis=-1)
    likely = probs >= threshold[:, None]
    least = mx.where(likely, probs, mx.inf).min(axis=-1, keepdims=True)
    dropped = likely & (probs > least) & ~exempt
    return mx.where(dropped, -mx.inf, scores)
