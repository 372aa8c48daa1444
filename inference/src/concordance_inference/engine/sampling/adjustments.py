"""What mods change of scores, for all rows of a step at once.

However many rows mods adjust and however many mods adjust each, there is one operation on the
device for each kind of change. The scores are copied once, since others may still look at them.

What runs for each token uses lists and bytes, not numpy: within a step, the code of numpy's
functions is no longer in the processor's cache, and the first call of one takes 90 us.
"""

import math
import threading
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, cast

import mlx.core as mx
import numpy as np
from concordance_shared import AdjustedLogits

from concordance_inference.engine.sampling.row_ops import add_to_rows, put_rows

Actions = Sequence[AdjustedLogits]  # of one row, in the order in which mods gave them

#: So many tokens are banned one by one; for more, a mask of the vocabulary is less work.
_FEW = 1024

#: Number of masks whose rows are kept on the device.
_NUM_MASKS = 16

#: Each byte with its bits inverted.
_INVERTED = bytes(range(255, -1, -1))


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
        scores = put_rows(scores, list(given), mx.stack(list(given.values())))
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
            bias, banned = action.bias or {}, _few_banned(action)
            rows += [i] * (len(bias) + len(banned))
            token_ids += [*bias, *banned]
            biases += [*bias.values(), *[-math.inf] * len(banned)]
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
    dropped = [_ROWS.of(mask, vocab_size) for mask in masks if mask is not None]
    added = dropped[0] if len(dropped) == 1 else mx.concatenate(dropped)
    return add_to_rows(scores, rows, added)


class _MaskRows(threading.local):
    """What to add to a row of logits for the masks used last, on the device.

    Many mods use the same few masks again and again: an allow-list, a grammar's state inside a
    string. To look up a mask is ten times as fast as to unpack it.

    Each thread has its own: an array that is not evaluated yet belongs to the thread that made it.
    """

    def __init__(self) -> None:
        self.of = lru_cache(_NUM_MASKS)(_unpacked)


def _unpacked(mask: bytes, vocab_size: int) -> mx.array:
    """0 for each token that a packed mask allows, and -inf for the others.  (1, vocab) float32"""
    packed = mx.array(cast(Any, memoryview(mask)))  # uint8, which the stub of mlx does not say
    return _bits()[packed].reshape(1, -1)[:, :vocab_size]


_ROWS = _MaskRows()


def _mask_of(actions: Actions, vocab_size: int) -> bytes | None:
    """One packed mask for all that a row's actions allow and ban; `None` if they drop nothing."""
    num_bytes = -(-vocab_size // 8)
    masks: list[bytes] = []
    for action in actions:
        if action.mask:  # of the tokenizer's vocabulary; the scores may be wider
            masks.append(action.mask.ljust(num_bytes, b"\0"))
        if action.allow is not None:
            masks.append(_packed(action.allow, num_bytes))
        if action.ban and not _few_banned(action):
            masks.append(_inverted(_packed(action.ban, num_bytes)))
    return _in_all(masks) if masks else None


def _packed(token_ids: Sequence[int], num_bytes: int) -> bytes:
    """A bit for each of some tokens: bit `i % 8` of byte `i // 8`."""
    if len(token_ids) > _FEW:
        bits = np.zeros(8 * num_bytes, np.bool_)
        bits[np.asarray(token_ids, np.int64)] = True
        return np.packbits(bits, bitorder="little").tobytes()
    packed = bytearray(num_bytes)
    for token_id in token_ids:
        packed[token_id >> 3] |= 1 << (token_id & 7)
    return bytes(packed)


def _inverted(mask: bytes) -> bytes:
    return mask.translate(_INVERTED)


def _in_all(masks: Sequence[bytes]) -> bytes:
    """The tokens that every mask allows."""
    if len(masks) == 1:
        return masks[0]
    common = -1
    for mask in masks:
        common &= int.from_bytes(mask, "little")
    return common.to_bytes(len(masks[0]), "little")


@cache
def _bits() -> mx.array:
    """What to add for each bit of a byte: 0 where it is set, -inf where not.  (256, 8) float32

    Looking bytes up and adding is several times faster on a CPU than shifting and choosing.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = mx.array(np.where(bits == 1, 0.0, -np.inf).astype(np.float32))
    mx.eval(table)
    return table
