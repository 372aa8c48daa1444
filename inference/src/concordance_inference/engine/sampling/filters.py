"""Drops unlikely tokens, or with XTC likely ones: pure functions of scores.

A dropped token's score becomes -inf. Tokens that score the same stay or go together.
"""

from collections.abc import Sequence

import mlx.core as mx


def rank_threshold(
    scores: mx.array,  # (rows, vocab) float32
    top_k: Sequence[int],  # one for each row, at least 1
    top_p: Sequence[float],
    *,
    num_candidates: int | None = None,
) -> tuple[mx.array, mx.array]:  # (rows, 1) float32, (rows,) bool
    """The score of the least likely token to keep, and whether that is certain.

    Keeps the `top_k` likeliest tokens, and of these the likeliest that make up `top_p`; the
    likeliest token always.

    Args:
        scores: The scores.
        top_k: How many tokens each row keeps at most.
        top_p: What they have to make up.
        num_candidates: Sort so many of the likeliest only. Where they do not make up `top_p`, the
            threshold is not certain; sorting all tokens costs ten times as much.
    """
    count = min(num_candidates or scores.shape[-1], scores.shape[-1])
    ordered = mx.sort(_likeliest(scores, count), axis=-1)[:, ::-1]
    most = mx.array([min(k, scores.shape[-1]) for k in top_k], mx.int32)[:, None]
    in_rank = mx.arange(count) < most
    is_cut = most <= count  # by its rank, so that what lies behind does not matter
    ordered = mx.where(in_rank, ordered, -mx.inf)
    total = mx.logsumexp(ordered, axis=-1, keepdims=True)
    if any(k > count for k in top_k):
        total = mx.where(is_cut, total, mx.logsumexp(scores, axis=-1, keepdims=True))
    mass = mx.cumsum(mx.exp(ordered - total), axis=-1)
    wanted = mx.array(list(top_p))[:, None]
    before = mx.pad(mass[:, :-1], [(0, 0), (1, 0)])
    stays = (before < wanted) & (ordered > -mx.inf)
    num_kept = mx.maximum(stays.astype(mx.int32).sum(axis=-1, keepdims=True), 1)
    threshold = mx.take_along_axis(ordered, num_kept - 1, axis=-1)
    return threshold, (is_cut | (mass[:, -1:] >= wanted))[:, 0]


def _likeliest(scores: mx.array, count: int) -> mx.array:
    """The `count` highest scores of each row, in no order."""
    return scores if count == scores.shape[-1] else mx.topk(scores, count, axis=-1)


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
