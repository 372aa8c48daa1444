"""A row of scores as a mod sees it: on the device until it is read."""

from typing import Any, Self, cast

import mlx.core as mx
import numpy as np
from concordance_shared import AdjustedLogits, column


class LogitsRow:
    """The scores of one position of one row.  (vocab,) float32

    Reading waits for the forward pass; adjusting does not, since it only adds operations to what
    the device is going to do.
    """

    def __init__(self, row: mx.array, token_temp: float | None = None) -> None:
        """Hold a row.

        Args:
            row: (vocab,) float32
            token_temp: The temperature of this position, if a mod set one.
        """
        self.row = row
        self.token_temp = token_temp

    def __len__(self) -> int:
        return self.row.size

    def __getitem__(self, key: Any) -> Any:
        """The score of a token, or those of a slice as a numpy array; `[0, i]` is `[i]`."""
        at = column(key)
        if isinstance(at, slice):
            return np.array(self.row[at])
        at = at.__index__()  # numpy's integers too
        if not -self.row.size <= at < self.row.size:
            raise IndexError(f"token id {at} is outside the vocabulary of {self.row.size}")
        return cast(float, self.row[at].item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """What `numpy.asarray(event.logits)` gives."""
        del copy
        return self.to_numpy().astype(dtype or np.float32, copy=False)

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first; only these leave the device."""
        k = min(k, self.row.size)
        ids = mx.argpartition(-self.row, k - 1)[:k] if k < self.row.size else mx.arange(k)
        scores = cast(list[float], self.row[ids].tolist())
        pairs = zip(cast(list[int], ids.tolist()), scores, strict=True)
        return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))

    def entropy(self) -> float:
        """How undecided the model is, in nats; only the number leaves the device."""
        logprobs = self.row - mx.logsumexp(self.row)
        weighted = mx.where(mx.isinf(logprobs), 0.0, mx.exp(logprobs) * logprobs)
        return max(0.0, -cast(float, mx.sum(weighted).item()))

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best; only the number leaves the device.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(f"margin(k) compares with the k-th best score: k={k} is less than 1")
        if k > self.row.size:
            return float("inf")
        best = mx.topk(self.row, k)
        return cast(float, (mx.max(best) - mx.min(best)).item())

    def to_numpy(self) -> np.ndarray:
        """The whole row as a new numpy array.  (vocab,) float32"""
        return np.array(self.row)

    def adjusted(self, action: AdjustedLogits) -> Self:
        """The row after an action, which `check_action` has made canonical.

        Raises:
            ValueError: The action's own row holds NaN or +inf, or leaves no token.
        """
        row = self.row if action.logits is None else _given_row(action.logits)
        if action.bias:
            row = row.at[mx.array(list(action.bias))].add(mx.array(list(action.bias.values())))
        if action.allow is not None:
            ids = mx.array(list(action.allow))
            row = mx.put_along_axis(mx.full(row.shape, -mx.inf), ids, row[ids], axis=0)
        if action.ban:
            row = mx.put_along_axis(row, mx.array(list(action.ban)), mx.array(-mx.inf), axis=0)
        if action.mask is not None:
            row = mx.where(_unpacked(action.mask, row.size), row, -mx.inf)
        temperature = self.token_temp if action.token_temp is None else action.token_temp
        return type(self)(row, temperature)


def _given_row(logits: Any) -> mx.array:
    """A mod's own row on the device.  (vocab,) float32

    A row that is on the device already is taken as it is: whether it holds a number is found out
    when the token is sampled, since asking now would wait for the device.
    """
    if isinstance(logits, mx.array):
        return logits.reshape(-1).astype(mx.float32)
    if isinstance(logits, bytes | bytearray | memoryview):
        row = np.frombuffer(logits, np.float32)
    else:
        row = np.asarray(logits, np.float32).reshape(-1)
    if np.isnan(row).any() or np.isposinf(row).any():
        raise ValueError("the row holds NaN or +inf")
    if np.isneginf(row).all():
        raise ValueError("no token is left to sample")
    return mx.array(row)


def _unpacked(mask: bytes, vocab_size: int) -> mx.array:
    """True where a packed bitmask has a bit.  (vocab,) bool"""
    packed = mx.array(np.frombuffer(mask, np.uint8))
    bits = (packed[:, None] >> mx.arange(8, dtype=mx.uint8)) & 1
    flat = bits.reshape(-1)[:vocab_size].astype(mx.bool_)
    return mx.pad(flat, (0, vocab_size - flat.size)) if flat.size < vocab_size else flat
