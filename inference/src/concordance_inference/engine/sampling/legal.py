"""Masks the tokens that the rules of a request do not allow at a position."""

from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx

from concordance_inference.engine.sampling.row_ops import apply_rows
from concordance_inference.token_rules import LegalTokens

#: Masks kept on the device, four bytes per token each.
_MAX_MASKS = 32


def only_legal(
    logits: mx.array, legal: Sequence[LegalTokens | None], *, may_be_empty: bool = True
) -> mx.array:
    """Set the logits of tokens that may not be next to -inf, unless mods left none that may.

    Args:
        logits: (rows, vocab) float32
        legal: For each row: the tokens that may be next; `None` if all may.
        may_be_empty: Mods may have left none. If not, one operation masks all rows.

    Returns:
        (rows, vocab) float32; `logits` itself if all may in each row.
    """
    first, width = legal[0], logits.shape[-1]
    if all(tokens is first for tokens in legal):  # nearly always
        return logits if first is None else _masked(logits, _mask(first, width), may_be_empty)
    rows = [i for i, tokens in enumerate(legal) if tokens is not None]
    masks = [_mask(tokens, width) for tokens in legal if tokens is not None]
    mask = masks[0] if len(masks) == 1 else mx.concatenate(masks)
    return apply_rows(logits, rows, lambda row: _masked(row, mask, may_be_empty))


def _masked(logits: mx.array, mask: mx.array, may_be_empty: bool) -> mx.array:  # noqa: FBT001
    masked = logits + mask
    if not may_be_empty:
        return masked
    return mx.where(masked.max(axis=-1, keepdims=True) > -mx.inf, masked, logits)


@lru_cache(_MAX_MASKS)
def _mask(tokens: LegalTokens, width: int) -> mx.array:
    """0 for each token that may be next, and -inf for the others.  (1, width) float32"""
    chosen, others = (-mx.inf, 0.0) if tokens.is_complement else (0.0, -mx.inf)
    mask = mx.full((1, width), others, mx.float32)
    if ids := [token_id for token_id in tokens.token_ids if token_id < width]:
        mask[:, mx.array(ids)] = chosen
    mx.eval(mask)
    return mask
