"""Logits as a mod in a worker reads them: what was sent along, or asked of the engine."""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

from concordance_shared import column, token_columns

from concordance_inference.sandbox.protocol.actions import packed
from concordance_inference.sandbox.protocol.events import SentForwardPass
from concordance_inference.sandbox.worker import kept_row

#: Asks the engine: the kind of value, `k`, token ids. A row comes as bytes.
Read = Callable[[str, int, bytes], Any]


class WorkerLogits:
    """The logits of one position.  (vocab,) float32"""

    def __init__(self, sent: SentForwardPass, read: Read, row: Callable[[], bytes]) -> None:
        """View what was sent.

        Args:
            sent: The event.
            read: Asks the engine for a value, while the event is handled.
            row: Copies the row from the shared memory.
        """
        self._width = sent.width
        self._top = sent.top
        self._has_row = sent.has_row
        self._read = read
        self._copy_row = row
        self._row: bytes | None = None

    def keep(self) -> None:
        """Copy the row, for a mod that keeps the logits after the event."""
        self._bytes()

    def _bytes(self) -> bytes:
        row: bytes | None = self._row
        if row is None:
            row = self._copy_row() if self._has_row else cast(bytes, self._read("row", 0, b""))
            self._row = row
        return row

    def __len__(self) -> int:
        return self._width

    def __getitem__(self, key: Any) -> Any:
        """Return the logit of a token, or those of a slice as an array; `[0, i]` is `[i]`.

        Raises:
            IndexError: The token is outside the vocabulary.
        """
        at = column(key)
        if isinstance(at, slice):
            return self.to_numpy()[at]
        at = at.__index__()
        if not -self._width <= at < self._width:
            raise IndexError(f"token id {at} is outside the vocabulary of {self._width}")
        return memoryview(self._bytes()).cast("f")[at % self._width]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """Support `numpy.asarray(event.logits)`."""
        del copy
        return self.to_numpy().astype(dtype or "float32", copy=False)

    def to_numpy(self) -> Any:
        """Return the row as a new array.  (vocab,) float32"""
        import numpy as np  # noqa: PLC0415  # loaded by the zygote; most mods do not need it

        return np.frombuffer(self._bytes(), np.float32).copy()

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` largest logits as `(token_id, logit)`, in descending order.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"top_k(k) returns the k most probable tokens: k={k} is negative")
        k = min(k, self._width)
        if self._top is not None and k <= len(self._top):
            return list(self._top[:k])
        if not k:
            return []
        if self._row is not None:
            return kept_row.top_k(self._row, k)
        return [(int(i), float(logit)) for i, logit in self._read("top_k", k, b"")]

    def margin(self, k: int = 2) -> float:
        """Return the largest logit minus the `k`-th.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(
                f"margin(k) compares with the k-th highest logit: k={k} is less than 1"
            )
        if k > self._width:
            return math.inf
        if self._row is not None:
            best = kept_row.top_k(self._row, k)
            return math.inf if best[-1][1] == -math.inf else best[0][1] - best[-1][1]
        if self._top is None or k > len(self._top):
            return float(self._read("margin", k, b""))
        last = self._top[k - 1][1]
        return math.inf if last == -math.inf else self._top[0][1] - last

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of one token."""
        return self.logprobs([token_id])[0]

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of tokens."""
        ids = token_columns(token_ids, self._width)
        if not ids:
            return []
        if self._row is not None:
            return kept_row.logprobs(self._row, ids)
        return [float(value) for value in self._read("logprobs", 0, packed(ids))]

    def entropy(self) -> float:
        """Return the entropy of the distribution, in nats."""
        if self._row is not None:
            return kept_row.entropy(self._row)
        return float(cast(float, self._read("entropy", 0, b"")))
