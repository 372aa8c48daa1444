"""Logits as older mods read them and hand them back: by numpy, and as a batch of one row too."""

from typing import Any, Self

import numpy as np
from concordance_shared import Logits, column


class OlderRow(np.ndarray):
    """A row of scores that `[id]` and the older `[0, id]` read and set.  (vocab,) float32"""

    def __getitem__(self, key: Any) -> Any:
        """As numpy does; `[0, id]` is `[id]`."""
        return super().__getitem__(_one_dimensional(self, key))

    def to_numpy(self) -> Self:
        """Itself: what `Tensor.from_numpy(array).to_numpy()` gives."""
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """As numpy does; `[0, id]` is `[id]`."""
        super().__setitem__(_one_dimensional(self, key), value)


def _one_dimensional(row: np.ndarray, key: Any) -> Any:
    is_pair = row.ndim == 1 and isinstance(key, tuple) and len(key) == 2
    if is_pair and (key[0] is Ellipsis or not isinstance(key[0], slice | int) or key[0] is None):
        return key
    if is_pair and not isinstance(key[1], int | slice | np.integer):
        return key[1] if key[0] in (0, -1) or key[0] == slice(None) else key  # a list, a mask
    return column(key) if is_pair else key


class OlderLogits(np.lib.mixins.NDArrayOperatorsMixin):
    """An event's logits, for a mod of the older SDK.  (vocab,) float32

    Read by `to_numpy()`, an index, or arithmetic, which gives arrays of numpy.
    """

    def __init__(self, logits: Logits) -> None:
        """Read these logits."""
        self._logits = logits

    def __len__(self) -> int:
        return len(self._logits)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(vocab,)`."""
        return (len(self._logits),)

    def __getitem__(self, key: Any) -> Any:
        """The score of a token, or those of a slice; `[0, id]` is `[id]`."""
        return self._logits[key]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """What `numpy.asarray(event.logits)` gives."""
        del copy
        return self.to_numpy().astype(dtype or np.float32, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Arithmetic and numpy's functions, on the row as an array."""
        arrays = [item.to_numpy() if isinstance(item, OlderLogits) else item for item in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def to_numpy(self) -> OlderRow:
        """The row as a new array, to be changed and handed back.  (vocab,) float32"""
        return np.asarray(self._logits.to_numpy()).view(OlderRow)

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first."""
        return self._logits.top_k(k)

    def entropy(self) -> float:
        """How undecided the model is, in nats."""
        return self._logits.entropy()

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best."""
        return self._logits.margin(k)

    @staticmethod
    def from_numpy(array: Any) -> Any:
        """The array: what changed logits were wrapped in before they were handed back."""
        return Tensor.from_numpy(array)


class Tensor:
    """What changed logits were wrapped in: `Tensor.from_numpy(array)` is the array."""

    @staticmethod
    def from_numpy(array: Any) -> Any:
        """The array, which gives itself back by `to_numpy()`."""
        return array.view(OlderRow) if isinstance(array, np.ndarray) else array


def top_k_logprob(logits: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The `k` best log-probabilities and their token ids, best first.  both (1, k)"""
    row = np.asarray(logits, np.float64).reshape(-1)
    best = np.argsort(-row, kind="stable")[:k]
    peak = row.max()
    logprobs = row[best] - peak - np.log(np.exp(row - peak).sum())
    return logprobs[None], best[None]
