"""A row of scores as a mod sees it: on the device until it is read."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

import mlx.core as mx
import msgspec
import numpy as np
from concordance_shared import AdjustedLogits, column

from concordance_inference.engine.sampling.adjustments import adjusted, given_row
from concordance_inference.engine.sampling.top_tokens import top_tokens


class LogitsRow:
    """The scores of one position of one row.  (vocab,) float32

    Reading waits for the forward pass. Adjusting does nothing yet: the adjustments of all rows are
    made together when their tokens are sampled, or of this one when a mod reads it before.
    """

    def __init__(
        self,
        logits: mx.array,
        index: int,
        actions: tuple[AdjustedLogits, ...] = (),
        *,
        existing: Callable[[mx.array], mx.array] = lambda row: row,
    ) -> None:
        """Look at a row.

        Args:
            logits: StepLogits of several rows.  (rows, vocab) float32
            index: Which of them it is.
            actions: What mods before have changed of it.
            existing: Masks the ids that no token has, in a mod's own row.
        """
        self._logits = logits
        self._index = index
        self.actions = actions
        self._existing = existing

    @cached_property
    def row(self) -> mx.array:
        """The scores as mods left them.  (vocab,) float32"""
        row = self._logits[self._index : self._index + 1]
        return (adjusted(row, [self.actions]) if self.actions else row)[0]

    @property
    def token_temp(self) -> float | None:
        """The temperature of this position, if a mod set one."""
        given = (action.token_temp for action in reversed(self.actions))
        return next((temperature for temperature in given if temperature is not None), None)

    def __len__(self) -> int:
        return self._logits.shape[-1]

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
        """The `k` best `(token_id, score)` pairs, best first; only these leave the device.

        Of equal scores, the lowest token id comes first.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"top_k(k) gives the k best tokens: k={k} is negative")
        if k == 0:
            return []
        ids, scores = self._top_tokens(k)
        pairs = zip(cast(list[int], ids.tolist()), cast(list[float], scores.tolist()), strict=True)
        return list(pairs)

    def entropy(self) -> float:
        """How undecided the model is, in nats; only the number leaves the device.

        NaN if the row holds NaN.
        """
        logprobs = self.row - mx.logsumexp(self.row)
        weighted = mx.where(mx.isinf(logprobs), 0.0, mx.exp(logprobs) * logprobs)
        return max(-cast(float, mx.sum(weighted).item()), 0.0)  # NaN stays where it comes first

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best; only the number leaves the device.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(f"margin(k) compares with the k-th best score: k={k} is less than 1")
        if k > self.row.size:
            return math.inf
        _, scores = self._top_tokens(k)
        best, last = cast(list[float], scores[mx.array([0, k - 1])].tolist())
        return math.inf if last == -math.inf else best - last

    def _top_tokens(self, k: int) -> tuple[mx.array, mx.array]:
        ids, scores = top_tokens(self.row[None], min(k, self.row.size))
        return ids[0], scores[0]

    def to_numpy(self) -> np.ndarray:
        """The whole row as a new numpy array.  (vocab,) float32"""
        return np.array(self.row)

    def adjusted(self, action: AdjustedLogits) -> "LogitsRow":
        """The row after an action, which `check_action` has made canonical.

        Raises:
            ValueError: The action's own row holds NaN or +inf, or leaves no token.
        """
        if action.logits is not None:
            row = self._existing(given_row(action.logits))
            action = msgspec.structs.replace(action, logits=row)
        actions = (*self.actions, action)
        return LogitsRow(self._logits, self._index, actions, existing=self._existing)
