"""Masks the tokens that would end a completion before its `min_tokens`."""

from collections.abc import Collection, Sequence

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.sampling.row_ops import apply_rows


class Ending(Struct, frozen=True, eq=False):
    """One row of the logits: the length before it, and which tokens may not follow yet."""

    num_completion: int  # with a token that is sampled but known to the device only
    min_tokens: int
    token_ids: Collection[int]  # that end the completion


def without_early_ends(logits: mx.array, endings: Sequence[Ending | None]) -> mx.array:
    """Set the logits of tokens that would end a completion too early to -inf.

    Args:
        logits: (rows, vocab) float32
        endings: One for each row; `None` if the request has no `min_tokens`.

    Returns:
        (rows, vocab) float32; `logits` itself if no row is too short.
    """
    for i, ending in enumerate(endings):
        if ending is None or ending.num_completion >= ending.min_tokens:
            continue
        token_ids = [token_id for token_id in ending.token_ids if token_id < logits.shape[-1]]
        if token_ids:
            logits = apply_rows(logits, [i], lambda row, ids=token_ids: _without(row, ids))
    return logits


def _without(row: mx.array, token_ids: Sequence[int]) -> mx.array:
    """Set the logits of some tokens to -inf.  (1, vocab) -> (1, vocab)"""
    row = mx.array(row)
    row[:, mx.array(list(token_ids))] = -mx.inf
    return row
