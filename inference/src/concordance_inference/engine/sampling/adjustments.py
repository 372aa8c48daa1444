"""What mods change of scores, for all rows of a step at once.

However many rows mods adjust and however many mods adjust each, there is one operation on the
device for each kind of change.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from concordance_shared import AdjustedLogits

from concordance_inference.engine.sampling import rows as some

Actions = Sequence[AdjustedLogits]  # of one row, in the order in which mods gave them


def adjusted(logits: mx.array, by_row: Mapping[int, Actions]) -> mx.array:
    """The scores after the actions of mods, which `check_action` has made canonical.

    A row of a mod's own takes the place of what was before it. The other changes add to scores or
    make them -inf, so that their order makes no difference.

    Args:
        logits: (rows, vocab) float32
        by_row: The actions, by the index of their row.
    """
    given = {i: row for i, actions in by_row.items() if (row := _last_row(actions)) is not None}
    if given:
        rows = sorted(given)
        logits = some.put(logits, rows, mx.stack([given[i] for i in rows]))
    standing = {i: _from_last_row(actions) for i, actions in sorted(by_row.items())}
    logits = _biased(logits, standing)
    return _masked(logits, standing)


def given_row(values: Any) -> mx.array:
    """A mod's own row on the device.  (vocab,) float32

    A row that is on the device already is taken as it is: whether it holds a number is found out
    when the token is sampled, since asking now would wait for the device.

    Raises:
        ValueError: It holds NaN or +inf, or leaves no token.
    """
    if isinstance(values, mx.array):
        return values.reshape(-1).astype(mx.float32)
    if isinstance(values, bytes | bytearray | memoryview):
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


def _biased(logits: mx.array, by_row: Mapping[int, Actions]) -> mx.array:
    cells = [
        (i, token_id, bias)
        for i, actions in by_row.items()
        for action in actions
        for token_id, bias in (action.bias or {}).items()
    ]
    if not cells:
        return logits
    rows, token_ids, biases = (list(column) for column in zip(*cells, strict=True))
    return logits.at[mx.array(rows), mx.array(token_ids)].add(mx.array(biases, mx.float32))


def _masked(logits: mx.array, by_row: Mapping[int, Actions]) -> mx.array:
    """Drop what is banned or not allowed: with a mask where a row has one, else token by token."""
    vocab_size = logits.shape[-1]
    masks = {i: mask for i, a in by_row.items() if (mask := _mask_of(a, vocab_size)) is not None}
    banned = [
        (i, token_id)
        for i, actions in by_row.items()
        if i not in masks
        for action in actions
        for token_id in action.ban or ()
    ]
    if banned:
        rows, token_ids = (list(column) for column in zip(*banned, strict=True))
        logits = mx.array(logits)
        logits[mx.array(rows), mx.array(token_ids)] = -mx.inf
    if not masks:
        return logits
    stays = _unpacked(np.stack(list(masks.values())), vocab_size)
    return some.changed(logits, list(masks), lambda scores: mx.where(stays, scores, -mx.inf))


def _mask_of(actions: Actions, vocab_size: int) -> np.ndarray | None:
    """One packed mask for all that a row's actions allow and ban; `None` if none has a mask."""
    packed = [_padded(np.frombuffer(a.mask, np.uint8), vocab_size) for a in actions if a.mask]
    packed += [_packed(a.allow, vocab_size) for a in actions if a.allow is not None]
    if not packed:
        return None
    banned = [token_id for action in actions for token_id in action.ban or ()]
    return np.bitwise_and.reduce([*packed, ~_packed(banned, vocab_size)])


def _packed(token_ids: Sequence[int], vocab_size: int) -> np.ndarray:
    """A bit for each of some tokens: bit `i % 8` of byte `i // 8`.  (bytes,) uint8"""
    bits = np.zeros(vocab_size, np.bool_)
    bits[np.asarray(token_ids, np.int64)] = True
    return np.packbits(bits, bitorder="little")


def _padded(packed: np.ndarray, vocab_size: int) -> np.ndarray:
    """A mask of a tokenizer's vocabulary, for scores that may be wider."""
    return np.pad(packed, (0, max(0, -(-vocab_size // 8) - len(packed))))


def _unpacked(packed: np.ndarray, vocab_size: int) -> mx.array:
    """True where packed masks have a bit.  (rows, bytes) uint8 -> (rows, vocab) bool"""
    bits = (mx.array(packed)[:, :, None] >> mx.arange(8, dtype=mx.uint8)) & 1
    return bits.reshape(len(packed), -1)[:, :vocab_size].astype(mx.bool_)
