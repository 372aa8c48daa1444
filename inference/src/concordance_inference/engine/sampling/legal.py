"""Masks the tokens that the rules of a request do not allow at a position."""

from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx

from concordance_inference.engine.sampling.row_ops import apply_rows
from concordance_inference.token_rules import LegalTokens

#: Masks kept on the device, a byte per token each.
_MAX_MASKS = 64


def only_legal(logits: mx.array, legal: Sequence[LegalTokens | None]) -> mx.array:
    """Set the logits of tokens that may not be next to -inf, unless mods left none that may.

    Args:
        logits: (rows, vocab) float32
        legal: For each row: the tokens that may be next; `None` if all may.

    Returns:
        (rows, vocab) float32; `logits` itself if all may in each row.
    """
    rows = [i for i, tokens in enumerate(legal) if tokens is not None]
    if not rows:
        return logits
    width = logits.shape[-1]
    masks = [_mask(tokens, width) for tokens in legal if tokens is not None]
    mask = masks[0][None] if len(masks) == 1 else mx.stack(masks)
    return apply_rows(logits, rows, lambda row: _masked(row, mask))


def _masked(logits: mx.array, mask: mx.array) -> mx.array:
    masked = mx.where(mask, logits, -mx.inf)
    return mx.where(masked.max(axis=-1, keepdims=True) > -mx.inf, masked, logits)


@lru_cache(_MAX_MASKS)
def _mask(tokens: LegalTokens, width: int) -> mx.array:
    """True for each token that may be next.  (width,) bool"""
    mask = mx.full((width,), tokens.is_complement, mx.bool_)
    if ids := [token_id for token_id in tokens.token_ids if token_id < width]:
        mask[mx.array(ids)] = not tokens.is_complement
    mx.eval(mask)
    return mask
