"""Top-k, top-p, min-p and XTC: pure functions of logits.

The logit of a dropped token becomes -inf. Tokens with equal logits are kept or dropped together.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx

from concordance_inference.engine.sampling.fused import fused

#: Least `top_p`: 0 would keep no token, and this keeps the most probable one.
_LEAST_MASS = 1e-30


def above(logits: mx.array, floor: mx.array) -> mx.array:
    """Keep the logits that are at least `floor`.  (rows, vocab), (rows, 1) -> (rows, vocab)"""
    return _above(logits, floor)


def min_p_floor(min_p: float) -> float:
    """Return the logit of a token with `min_p` times the probability of one whose logit is 0."""
    return math.log(min_p) if min_p else -math.inf


def rank_floor(
    logits: mx.array,  # (rows, vocab) float32
    top_k: Sequence[int],  # one for each row, at least 1
    top_p: Sequence[float],
    *,
    num_candidates: int | None = None,
) -> tuple[mx.array, mx.array]:  # (rows, 1) float32, (rows,) bool
    """Return the least logit that top-k and top-p keep, and whether that is certain.

    Keeps the `top_k` most probable tokens, and of these the most probable until their sum reaches
    `top_p` of the sum of all `top_k`; the most probable token always. With probabilities of
    .5 .3 .12 .08, k = 3 and p = 0.8: three tokens sum to .92, and two reach .8 >= .8 x .92, so the
    floor is the logit of the second.

    Args:
        logits: The logits.
        top_k: Tokens that each row keeps at most.
        top_p: The fraction of their mass to keep; 1 keeps all.
        num_candidates: Sort this many of the highest logits only, or `top_k` if that is more. If
            they do not reach `top_p` of the whole, the result is not certain. On a CPU, sorting
            all tokens takes ten times as long; on a GPU, selecting the candidates is itself a
            sort of all tokens.
    """
    vocab_size = logits.shape[-1]
    by_rank = max((k for k in top_k if k < vocab_size), default=0)
    count = min(max(num_candidates or vocab_size, by_rank), vocab_size)
    ordered = mx.sort(_top_tokens(logits, count), axis=-1)  # the most probable last
    most = mx.array([min(k, vocab_size) for k in top_k], mx.int32)[:, None]
    if all(p >= 1 for p in top_p):
        last = mx.array([max(count - k, 0) for k in top_k])[:, None]
        return mx.take_along_axis(ordered, last, axis=-1), (most <= count)[:, 0]
    parts = mx.array([math.inf if p >= 1 else max(p, _LEAST_MASS) for p in top_p])[:, None]
    best, ranks = ordered[:, -1:], _ranks(count)
    mass = _mass(ordered, best, ranks, most)
    sums = mx.cumsum(mass, axis=-1, reverse=True)  # of each token and all more probable ones
    total = sums[:, :1]
    # A row without top-k needs its mass over the whole vocabulary, of which the sorted candidates
    # are only a part.
    if any(k > count for k in top_k) and count < vocab_size:
        everything = mx.exp(logits - best).sum(axis=-1, keepdims=True)
        total = mx.where(most <= count, total, everything)
    floor = _kept(ordered, ranks, most, sums - mass, parts * total).min(axis=-1, keepdims=True)
    return floor, ((most <= count) | (sums[:, :1] >= parts * total))[:, 0]


def without_top_choices(
    logits: mx.array,  # (rows, vocab) float32
    threshold: mx.array,  # (rows,) float32
    exempt: mx.array,  # (vocab,) bool: tokens that always stay
) -> mx.array:  # (rows, vocab) float32
    """Exclude top choices (XTC): drop all but the least probable of the tokens above a threshold.

    At least one token above the threshold is kept, so that the text stays coherent: with
    threshold 0.1, probabilities of .5 .3 .15 .05 become 0 0 .15 .05, and .9 .06 .04 do not change.
    """
    probs = mx.softmax(logits, axis=-1)
    least = _above_threshold(probs, threshold[:, None]).min(axis=-1, keepdims=True)
    return _excluded(logits, probs, threshold[:, None], least, exempt)


def _top_tokens(logits: mx.array, count: int) -> mx.array:
    """Return the `count` highest logits of each row, unordered.  (rows, vocab) -> (rows, count)"""
    return logits if count == logits.shape[-1] else mx.topk(logits, count, axis=-1)


@lru_cache(maxsize=8)
def _ranks(count: int) -> mx.array:
    """Return the ranks of ascending logits: count, ..., 2, 1.  (count,) int32"""
    ranks = mx.arange(count, 0, -1, dtype=mx.int32)
    mx.eval(ranks)
    return ranks


@fused
def _above(logits: mx.array, floor: mx.array) -> mx.array:
    return mx.where(logits >= floor, logits, -mx.inf)


@fused
def _mass(ordered: mx.array, best: mx.array, ranks: mx.array, most: mx.array) -> mx.array:
    """Return unnormalized probabilities, 0 for tokens that top-k drops.  (rows, count)"""
    return mx.where(ranks <= most, mx.exp(ordered - best), 0.0)


@fused
def _kept(
    ordered: mx.array, ranks: mx.array, most: mx.array, before: mx.array, mass: mx.array
) -> mx.array:
    """Return the logits to keep, and inf for the others; their minimum is the floor.

    `before` is the mass of all more probable tokens: the first token that reaches `mass` is kept.
    """
    stays = (ranks <= most) & (before < mass) & (ordered > -mx.inf)
    return mx.where(stays, ordered, mx.inf)


@fused
def _above_threshold(probs: mx.array, threshold: mx.array) -> mx.array:
    """Return the probabilities from the threshold on, and inf for the others and for 0."""
    return mx.where((probs >= threshold) & (probs > 0), probs, mx.inf)


@fused
def _excluded(
    logits: mx.array, probs: mx.array, threshold: mx.array, least: mx.array, exempt: mx.array
) -> mx.array:
    dropped = (probs >= threshold) & (probs > least) & ~exempt
    return mx.where(dropped, -mx.inf, logits)
