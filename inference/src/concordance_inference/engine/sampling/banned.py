"""Logits of tokens that may not be sampled at a position, unless nothing else can be."""

from collections.abc import Collection, Sequence

import mlx.core as mx

from concordance_inference.engine.sampling.row_ops import apply_rows

#: The logit of a banned token. It is finite, so that a mask which allows no other token leaves it:
#: a constraint never ends in an error because a token was banned.
BANNED = -1e9


def without_banned(logits: mx.array, banned: Sequence[Collection[int]]) -> mx.array:
    """Set the logits of banned tokens to `BANNED`.

    Args:
        logits: (rows, vocab) float32
        banned: The tokens of each row.

    Returns:
        (rows, vocab) float32; `logits` itself if no row has any.
    """
    for i, token_ids in enumerate(banned):
        if token_ids:
            ids = sorted(token_ids)
            logits = apply_rows(logits, [i], lambda row, ids=ids: _without(row, ids))
    return logits


def _without(row: mx.array, token_ids: list[int]) -> mx.array:
    """Set some logits.  (1, vocab) -> (1, vocab)"""
    row = mx.array(row)
    row[:, mx.array(token_ids)] = BANNED
    return row
