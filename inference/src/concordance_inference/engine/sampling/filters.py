"""Drops unlikely tokens, or with XTC likely ones: pure functions of logits.

A dropped token's logit becomes -inf. Tokens with the same logit stay or go together.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx

from concordance_inference.engine.sampling.fused import fused

#: Less than this part of the whole is the likeliest token alone.
_LEAST_MASS = 1e-30


def above(logits: mx.array, floor: mx.array) -> mx.array:
    """Keep the logits that are at least `floor`.  (rows, vocab), (rows, 1) -> (rows, vocab)"""
    return _above(logits, floor)


def min_p_floor(min_p: float) -> float:
    """Return the logit of a token `min_p` times as likely as one whose logit is 0."""
    return math.log(min_p) if min_p else -math.inf


def rank_floor(
    logits: mx.array,  # (rows, vocab) float32
    top_k: Sequence[int],  # one for each row, at least 1
    top_p: Sequence[float],
    *,
    num_candidates: int | None = None,
) -> tuple[mx.array, mx.array]:  # (rows, 1) float32, (rows,) bool
    """Return the logit of the least likely token to keep, and whether that is certain.

    Keeps the `top_k` likeliest tokens, and of these the likeliest that make up `top_p`; the
    likeliest token always.

    Args:
        logits: The logits.
        top_k: Number of tokens that each row keeps at most.
        top_p: What they have to make up; 1 keeps all.
        num_candidates: Sort so many of the likeliest only, or more where a row keeps more by
            rank. Where they do not make up `top_p`, the result is not certain. On a CPU, sorting
            all tokens costs ten times as much; on a GPU, finding the candidates is itself a sort
            of all tokens.
    """
    vocab_size = logits.shape[-1]
    by_rank = max((k for k in top_k if k < vocab_size), default=0)
    count = min(max(num_candidates or vocab_size, by_rank), vocab_size)
    ordered = mx.sort(_top_tokens(logits, count), axis=-1)  # the likeliest last
    most = mx.array([min(k, vocab_size) for k in top_k], mx.int32)[:, None]
    if all(p >= 1 for p in top_p):
        last = mx.array([max(count - k, 0) for k in top_k])[:, None]
        return mx.take_along_axis(ordered, last, axis=-1), (most <= count)[:, 0]
    parts = mx.array([math.inf if p >= 1 else max(p, _LEAST_MASS) for p in top_p])[:, None]
    best, ranks = ordered[:, -1:], _ranks(count)
    mass = _mass(ordered, best, ranks, most)
    sums = mx.cumsum(mass, axis=-1, reverse=True)  # of each token and all that are likelier
    total = sums[:, :1]
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
    """Exclude top choices (XTC): drop the tokens above a probability but for one.

    Of those that are at least as likely as `threshold`, the least likely stays, so that a model
    says something else than the obvious where it has the choice, and nothing else where it has
    none.
    """
    probs = mx.softmax(logits, axis=-1)
    least = _likely(probs, threshold[:, None]).min(axis=-1, keepdims=True)
    return _excluded(logits, probs, threshold[:, None], least, exempt)


def _top_tokens(logits: mx.array, count: int) -> mx.array:
    """The `count` highest logits of each row, in no order."""
    return logits if count == logits.shape[-1] else mx.topk(logits, count, axis=-1)


@lru_cache(maxsize=8)
def _ranks(count: int) -> mx.array:
    """The ranks of tokens in ascending order, 1 for the likeliest.  (count,) int32"""
    ranks = mx.arange(count, 0, -1, dtype=mx.int32)
    mx.eval(ranks)
    return ranks


@fused
def _above(logits: mx.array, floor: mx.array) -> mx.array:
    return mx.where(logits >= floor, logits, -mx.inf)


@fused
def _mass(ordered: mx.array, best: mx.array, ranks: mx.array, most: mx.array) -> mx.array:
    """The probability of each token times a constant, 0 for those that are cut by their rank."""
    return mx.where(ranks <= most, mx.exp(ordered - best), 0.0)


@fused
def _kept(
    ordered: mx.array, ranks: mx.array, most: mx.array, before: mx.array, wanted: mx.array
) -> mx.array:
    """The logits to keep; inf in place of the others."""
    stays = (ranks <= most) & (before < wanted) & (ordered > -mx.inf)
    return mx.where(stays, ordered, mx.inf)


@fused
def _likely(probs: mx.array, threshold: mx.array) -> mx.array:
    """The probabilities that are likely, inf in place of others. A dropped token never is."""
    return mx.where((probs >= threshold) & (probs > 0), probs, mx.inf)


@fused
def _excluded(
    logits: mx.array, probs: mx.array, threshold: mx.array, least: mx.array, exempt: mx.array
) -> mx.array:
    dropped = (probs >= threshold) & (probs > least) & ~exempt
    return mx.where(dropped, -mx.inf, logits)
