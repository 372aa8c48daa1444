"""Applies the `AdjustedLogits` of mods to the logits of all rows of a step.

However many mods adjust however many rows, each kind of change is one operation on the device. The
logits are copied once, since they are also kept for logprobs and for backtracking.

The code that runs for each token uses lists and bytes, not numpy: the code of numpy's functions is
evicted from the processor's cache between two steps, so that the first call of one takes 90 us.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, cast

import mlx.core as mx
import numpy as np
from concordance_shared import AdjustedLogits

from concordance_inference.engine.sampling.row_ops import add_to_rows, put_rows

RowActions = Sequence[AdjustedLogits]  # of one row, in the order of its mods

#: Up to this many tokens are banned one by one; for more, a mask of the vocabulary is faster.
_FEW = 1024

#: Masks that are kept unpacked on the device.
_NUM_MASKS = 16

#: Each byte with its bits inverted.
_INVERTED = bytes(range(255, -1, -1))


def apply_actions(logits: mx.array, by_row: Sequence[RowActions]) -> mx.array:
    """Apply actions that `check_action` has made canonical.

    A row of logits that a mod returns replaces the row and cancels the actions before it. All other
    changes add to logits or set them to -inf, so that their order makes no difference:

        actions of a row       ban 7, logits=[...], bias 3: +1, ban 5
        applied                logits=[...], then +1 at 3 and -inf at 5; token 7 is not banned

    Args:
        logits: (rows, vocab) float32
        by_row: The actions for each row.

    Returns:
        (rows, vocab) float32
    """
    acting = {i: actions for i, actions in enumerate(by_row) if actions}
    given = {i: row for i, actions in acting.items() if (row := _last_row(actions)) is not None}
    if given:
        logits = put_rows(logits, list(given), mx.stack(list(given.values())))
        acting.update({i: _from_last_row(acting[i]) for i in given})
    return _masked(_biased(_shifted(logits, acting), acting), acting)


def given_row(values: Any) -> mx.array:
    """Move a mod's own row of logits to the device.  (vocab,) float32

    An mlx array is launched but not waited for: the sampler detects NaN and +inf later. One that
    cannot be launched, such as an unevaluated array of another thread, fails here, where the mod is
    known, and not in the computation of the whole batch.

    Raises:
        ValueError: It holds NaN or +inf, or leaves no token.
        TypeError: It holds something other than numbers.
        OverflowError: It holds an integer that no float can hold.
        RuntimeError: It cannot be computed on this thread.
    """
    row = _on_device(values)
    if row is None:
        numbers = _numbers(values)
        if np.isneginf(numbers).all():
            raise ValueError("no token is left to sample")
        row = mx.array(numbers)
    return row


def given_bias(values: Any, num_logits: int) -> mx.array:
    """Move a mod's array of biases to the device, as `given_row` does.  (num_logits,) float32

    Args:
        values: One for each token.
        num_logits: The length of a row of logits. It is more than the number of tokens if the LM
            head is padded; the padding gets a bias of 0.

    Raises:
        ValueError: It holds NaN or +inf.
        TypeError: It holds something other than numbers.
        OverflowError: It holds an integer that no float can hold.
        RuntimeError: It cannot be computed on this thread.
    """
    row = _on_device(values)
    row = mx.array(_numbers(values)) if row is None else row
    missing = num_logits - row.size
    return mx.pad(row, [(0, missing)]) if missing > 0 else row


def _on_device(values: Any) -> mx.array | None:
    """Launch an mlx array; `None` for other values."""
    if not isinstance(values, mx.array):
        return None
    row = values.reshape(-1).astype(mx.float32)
    mx.async_eval(row)
    return row


def _numbers(values: Any) -> np.ndarray:
    """Convert numbers on the host to an array and check them."""
    if isinstance(values, bytes | bytearray):
        row = np.frombuffer(values, np.float32)
    else:
        row = np.asarray(values, np.float32).reshape(-1)
    if np.isnan(row).any() or np.isposinf(row).any():
        raise ValueError("the row holds NaN or +inf")
    return row


def _last_row(actions: RowActions) -> mx.array | None:
    return next((a.logits for a in reversed(actions) if a.logits is not None), None)


def _from_last_row(actions: RowActions) -> RowActions:
    """Return the actions from the last row of a mod's own on: it cancels those before it."""
    last = [i for i, action in enumerate(actions) if action.logits is not None]
    return actions[last[-1] :] if last else actions


def _shifted(logits: mx.array, by_row: Mapping[int, RowActions]) -> mx.array:
    """Add arrays of biases.  (rows, vocab) float32"""
    sums: dict[int, mx.array] = {}
    for i, actions in by_row.items():
        for action in actions:
            if isinstance(action.bias, mx.array):
                sums[i] = sums[i] + action.bias if i in sums else action.bias
    return add_to_rows(logits, list(sums), mx.stack(list(sums.values()))) if sums else logits


def _biased(logits: mx.array, by_row: Mapping[int, RowActions]) -> mx.array:
    """Add to the logits of single tokens; -inf for the banned ones.  (rows, vocab) float32"""
    rows: list[int] = []
    token_ids: list[int] = []
    biases: list[float] = []
    for i, actions in by_row.items():
        for action in actions:
            bias = action.bias if isinstance(action.bias, dict) else {}
            banned = _few_banned(action)
            rows += [i] * (len(bias) + len(banned))
            token_ids += [*bias, *banned]
            biases += [*bias.values(), *[-math.inf] * len(banned)]
    if not rows:
        return logits
    return logits.at[mx.array(rows), mx.array(token_ids)].add(mx.array(biases, mx.float32))


def _few_banned(action: AdjustedLogits) -> Sequence[int]:
    banned = action.ban or ()
    return banned if len(banned) <= _FEW else ()


def _masked(logits: mx.array, by_row: Mapping[int, RowActions]) -> mx.array:
    """Apply masks, allow-lists and long ban lists as one mask a row.  (rows, vocab) float32"""
    vocab_size = logits.shape[-1]
    all_masks = {i: _mask_of(actions, vocab_size) for i, actions in by_row.items()}
    masks = {i: mask for i, mask in all_masks.items() if mask is not None}
    if not masks:
        return logits
    dropped = [_ROWS.of(mask, vocab_size) for mask in masks.values()]
    added = dropped[0] if len(dropped) == 1 else mx.concatenate(dropped)
    return add_to_rows(logits, list(masks), added)


class _MaskRows(threading.local):
    """A cache of unpacked masks on the device: 0 for an allowed token, -inf for others.

    Many mods use the same few masks for many positions: an allow-list, a grammar's state inside a
    string. A lookup is ten times as fast as unpacking.

    One cache per thread: an unevaluated array belongs to the thread that made it.
    """

    def __init__(self) -> None:
        self.of = lru_cache(_NUM_MASKS)(_unpacked)


def _unpacked(mask: bytes, vocab_size: int) -> mx.array:
    """Unpack a mask to 0 for each allowed token and -inf for the others.  (1, vocab) float32"""
    packed = mx.array(cast(Any, memoryview(mask)))  # uint8; missing in the stub of mlx
    return _bits()[packed].reshape(1, -1)[:, :vocab_size]


_ROWS = _MaskRows()


def _mask_of(actions: RowActions, vocab_size: int) -> bytes | None:
    """Combine the masks of a row's actions into one packed mask; `None` if there is none."""
    num_bytes = -(-vocab_size // 8)
    masks: list[bytes] = []
    for action in actions:
        if action.mask:  # as wide as the tokenizer's vocabulary; the logits may be wider
            masks.append(action.mask.ljust(num_bytes, b"\0"))
        if action.allow is not None:
            masks.append(_packed(action.allow, num_bytes))
        if action.ban and not _few_banned(action):
            masks.append(_inverted(_packed(action.ban, num_bytes)))
    return _intersection(masks) if masks else None


def _packed(token_ids: Sequence[int], num_bytes: int) -> bytes:
    """Pack token ids into a mask: bit `i % 8` of byte `i // 8` is set for token i."""
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


def _intersection(masks: Sequence[bytes]) -> bytes:
    if len(masks) == 1:
        return masks[0]
    common = -1
    for mask in masks:
        common &= int.from_bytes(mask, "little")
    return common.to_bytes(len(masks[0]), "little")


@cache
def _bits() -> mx.array:
    """Return what to add for the bits of each byte: 0 if set, else -inf.  (256, 8) float32

    A lookup and an addition are several times faster on a CPU than shifts and a selection.
    """
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    table = mx.array(np.where(bits == 1, 0.0, -np.inf).astype(np.float32))
    mx.eval(table)
    return table
