"""A row of logits as mods see it: on the device until a mod reads it."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, cast

import mlx.core as mx
import msgspec
import numpy as np
from concordance_shared import AdjustedLogits, column, token_columns

from concordance_inference.engine.sampling.adjustments import (
    apply_actions,
    given_bias,
    given_row,
)
from concordance_inference.engine.sampling.log_softmax import (
    in_blocks,
    log_softmax_at,
    normalizer,
)
from concordance_inference.engine.sampling.top_tokens import top_tokens


class RowSource:
    """One row of the model's logits, in those of a step. Shared by all that mods make of it."""

    def __init__(self, logits: mx.array, index: int) -> None:
        """Refer to a row, without computing anything.

        Args:
            logits: The logits of all rows of the step.  (rows, vocab) float32
            index: The row's index in `logits`.
        """
        self.logits = logits
        self._index = index

    @property
    def row(self) -> mx.array:
        """The row.  (1, vocab) float32"""
        return self.logits[self._index : self._index + 1]

    def separate(self) -> None:
        """Copy the row, so that it no longer refers to the logits of the step."""
        self.logits, self._index = mx.take(self.logits, mx.array([self._index]), axis=0), 0
        mx.async_eval(self.logits)


class LogitsRow:
    """The logits of one position of one row.  (vocab,) float32

    Reading waits for the forward pass. Adjusting is lazy: the actions of all rows are applied
    together when their tokens are sampled, or those of this row when a mod reads it before.
    """

    def __init__(
        self,
        source: RowSource,
        actions: tuple[AdjustedLogits, ...] = (),
        *,
        existing: Callable[[mx.array], mx.array] = lambda row: row,
    ) -> None:
        """Refer to a row, without computing anything.

        Args:
            source: The row before the actions.
            actions: Actions of earlier mods, not applied yet.
            existing: Masks the ids without a token, in a mod's own row.
        """
        self._source = source
        self.actions = actions
        self._existing = existing

    @property
    def row(self) -> mx.array:
        """The logits with the actions applied.  (vocab,) float32"""
        return self._adjusted if self.actions else self._source.row[0]

    @cached_property
    def _adjusted(self) -> mx.array:
        return apply_actions(self._source.row, [self.actions])[0]

    @property
    def token_temp(self) -> float | None:
        """The temperature that a mod set for this position, if any; the last one counts."""
        given = (action.token_temp for action in reversed(self.actions))
        return next((temperature for temperature in given if temperature is not None), None)

    def __len__(self) -> int:
        return self._source.logits.shape[-1]

    def __getitem__(self, key: Any) -> Any:
        """Return the logit of a token, or those of a slice as a numpy array; `[0, i]` is `[i]`."""
        at = column(key)
        if isinstance(at, slice):
            return np.array(self.row[at])
        at = at.__index__()  # numpy's integers too
        if not -self.row.size <= at < self.row.size:
            raise IndexError(f"token id {at} is outside the vocabulary of {self.row.size}")
        return cast(float, self.row[at].item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:  # noqa: FBT001
        """Support `numpy.asarray(event.logits)`."""
        del copy
        return self.to_numpy().astype(dtype or np.float32, copy=False)

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` highest `(token_id, logit)` pairs, highest first, and copy only these.

        Of equal logits, the lowest token id comes first.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"top_k(k) returns the k most probable tokens: k={k} is negative")
        if k == 0:
            return []
        ids, logits = self._top_tokens(k)
        pairs = zip(cast(list[int], ids.tolist()), cast(list[float], logits.tolist()), strict=True)
        return list(pairs)

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of one token, and copy only this number."""
        return self.logprobs([token_id])[0]

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of tokens, and copy only these numbers."""
        ids = token_columns(token_ids, len(self))
        if not ids:
            return []
        found = log_softmax_at(self.row[None], mx.array([ids], mx.int32))[0]
        return cast(list[float], found.tolist())

    def entropy(self) -> float:
        """Return the entropy of the distribution in nats, and copy only this number.

        NaN if the row holds NaN.
        """
        reference, log_sum = normalizer(self.row[None])
        logprobs = self.row[None] - reference - log_sum
        weighted = mx.where(mx.isinf(logprobs), 0.0, mx.exp(logprobs) * logprobs)
        total = in_blocks(weighted, fill=0.0).sum(axis=-1).sum()
        return max(-cast(float, total.item()), 0.0)  # max(nan, 0.0) is nan, max(0.0, nan) is not

    def margin(self, k: int = 2) -> float:
        """Return the highest logit minus the `k`-th highest, and copy only this number.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(
                f"margin(k) compares with the k-th highest logit: k={k} is less than 1"
            )
        if k > self.row.size:
            return math.inf
        _, logits = self._top_tokens(k)
        best, last = cast(list[float], logits[mx.array([0, k - 1])].tolist())
        return math.inf if last == -math.inf else best - last

    def _top_tokens(self, k: int) -> tuple[mx.array, mx.array]:
        ids, logits = top_tokens(self.row[None], min(k, self.row.size))
        return ids[0], logits[0]

    def to_numpy(self) -> np.ndarray:
        """Copy the whole row to a numpy array.  (vocab,) float32"""
        return np.array(self.row)

    def adjusted(self, action: AdjustedLogits) -> "LogitsRow":
        """Return the row with one more action, which `check_action` has made canonical.

        Raises:
            ValueError: The action's own row or biases hold NaN or +inf, or it leaves no token.
        """
        if action.logits is not None:
            row = self._existing(given_row(action.logits))
            action = msgspec.structs.replace(action, logits=row)
        if action.bias is not None and not isinstance(action.bias, dict):
            bias = given_bias(action.bias, len(self))
            action = msgspec.structs.replace(action, bias=bias)
        actions = (*self.actions, action)
        return LogitsRow(self._source, actions, existing=self._existing)
