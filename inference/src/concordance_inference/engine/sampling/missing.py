"""Masks ids that have a logit but no token."""

from collections.abc import Collection
from functools import lru_cache

import mlx.core as mx


def without_missing(logits: mx.array, vocab_size: int, missing: frozenset[int]) -> mx.array:
    """Set the logits of ids without a token to -inf.

    The LM head is often padded: a vocabulary of 151,669 tokens has 151,936 = 128 x 1,187 logits.
    The padding is not trained, so that its logits are near 0 and not very negative: at a high
    temperature, ids without a token would be sampled.

    Args:
        logits: (rows, width) float32
        vocab_size: Token ids are below this.
        missing: Ids below `vocab_size` without a token.

    Returns:
        (rows, width) float32; `logits` itself if every id has a token.
    """
    width = logits.shape[-1]
    if width <= vocab_size and not missing:
        return logits
    return mx.where(_exists(width, vocab_size, missing), logits, -mx.inf)


@lru_cache(4)
def _exists(width: int, vocab_size: int, missing: Collection[int]) -> mx.array:
    """Return True for each id that has a token.  (width,) bool"""
    exists = mx.arange(width) < vocab_size
    if inside := [token_id for token_id in missing if token_id < width]:
        exists[mx.array(inside)] = False
    mx.eval(exists)
    return exists
