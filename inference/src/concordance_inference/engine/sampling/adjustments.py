"""What mods change of scores, for all rows of a step at once.

However many rows mods adjust and however many mods adjust each, there is one operation on the
device for each kind of change.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
from concordance_shared import AdjustedLogits

from concordance_inference.engine.sampling import rows as some

Actions = Sequence[AdjustedLogits]  # of one row, in the order in which mods gave them

#: So many tokens are banned one by one; for more, a mask of the vocabulary is less work.
_FEW = 1024


def adjusted(scores: mx.array, by_row: Sequence[Actions]) -> mx.array:
    """The scores after the actions of mods, which `check_action` has made canonical.

    A row of a mod's own takes the place of what was before it. The other changes add to scores or
    make them -inf, so that their order makes no difference.

    Args:
        scores: (rows, vocab) float32
        by_row: The actions for each row.
    """
    given = {i: row for i, actions in enumerate(by_row) if (row := _last_row(actions)) is not None}
    if given:
        scores = some.put(scores, list(given), mx.stack(list(given.values())))
    standing = [_from_last_row(actions) for actions in by_row]
    return _masked(_biased(scores, standing), standing)


def given_row(values: Any) -> mx.array:
    """A mod's own row on the device.  (vocab,) float32

    A row that is on the device already is launched and not waited for: whether it holds numbers is
    found out when the token is sampled. One that cannot be launched, such as an array that was
    made on another thread and is not evaluated, fails here and not in the batch's pass.

    Raises:
        ValueError: It holds NaN or +inf, or leaves no token.
        TypeError: It holds something else than numbers.
        OverflowError: It holds an integer that no float can hold.
        RuntimeError: It cannot be computed on this thread.
    """
    if isinstance(values, mx.array):
        row = values.reshape(-1).astype(mx.float32)
        mx.async_eval(row)
        return row
    if isinstance(values, bytes | bytearray):
        row = np.frombuffer(values, np.float32)
    else:
        row = np.asarray(values, np.float32).reshape(-1)
    if np.isnan(row).any() or np.isposinf(row).any():
        raise ValueError("the row holds NaN or +inf")
    if np.isneginf(row).all():
        raise ValueError("no token is left to sample")
    return mx.array(row)


def _last_row(actions: Actions) -> mx.array | None:
    return next((a.logits for a in reversed(actions) if a.logits is not None), None)


def _from_last_row(actions: Actions) -> Actions:
    """The actions that count: a row of a mod's own undoes those before it."""
    last = [i for i, action in enumerate(actions) if action.logits is not None]
    return actions[last[-1] :] if last else actions


def _biased(scores: mx.array, by_row: Sequence[Actions]) -> mx.array:
    """Add to the scores of single tokens: -inf for those that are banned."""
    rows: list[int] = []
    token_ids: list[int] = []
    biases: list[float] = []
    for i, actions in enumerate(by_row):
        for action in actions:
            added = {**(action.bias or {}), **dict.fromkeys(_few_banned(action), -math.inf)}
            rows += [i] * len(added)
            token_ids += added
            biases += added.values()
    if not rows:
        return scores
    return scores.at[mx.array(rows), mx.array(token_ids)].add(mx.array(biases, mx.float32))


def _few_banned(action: AdjustedLogits) -> Sequence[int]:
    banned = action.ban or ()
    return banned if len(banned) <= _FEW else ()


def _masked(scores: mx.array, by_row: Sequence[Actions]) -> mx.array:
    """Drop what is not allowed and what is banned in large numbers, with a mask for each row."""
    vocab_size = scores.shape[-1]
    masks = [_mask_of(actions, vocab_size) for actions in by_row]
    rows = [i for i, mask in enumerate(masks) if mask is not None]
    if not rows:
        return scores
    packed = mx.array(np.stack([mask for mask in masks if mask is not None]))
    dropped = _bits()[packed].reshape(len(rows), -1)[:, :vocab_size]
    return some.changed(scores, rows, lambda masked: masked + dropped)


def _mask_of(actions: Actions, vocab_size: int) -> np.ndarray | None:
    """One packed mask for all that a row's actions allow and ban; `None` if they drop nothing."""
    masks = [_padded(action.mask, vocab_size) for action in actions if action.mask]
    masks += [_packed(action.allow, vocab_size) for action in actions if action.allow is not None]
    masks += [
        ~_packed(action.ban, vocab_size)
        for action in actions
        if action.ban and not _few_banned(action)
    ]
    if len(masks) < 2:
        return masks[0] if masks else None
    return np.bitwise_and.reduce(masks)


def _packed(token_ids: Sequence[int], vocab_size: int) -> np.ndarray:
    """A bit for each of some tokens: bit `i % 8` of byte `i // 8`.  (bytes,) uint8"""
    bits = np.zeros(vocab_size, np.bool_)
    bits[np.asarray(token_ids, np.int64)] = True
    return np.packbits(bits, bitorder="little")


def _padded(mask: bytes, vocab_size: int) -> np.ndarray:
    """A mask of a tokenizer's vocabulary, for scores that may be wider.  (bytes,) uint8"""
    return np.frombuffer(mask.ljust(-(-vocab_size // 8), b"\0"), np.uint8)


@cache
def _bits() -> mx.array:
    """What to add for each bit of a byte: 0 where it is set, -inf where not.  (256, 8) float32

    Looking bytes up and adding is several times faster on a CPU than shifting and choosing.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = mx.array(np.where(bits == 1, 0.0, -np.inf).astype(np.float32))
    mx.eval(table)
    return table
