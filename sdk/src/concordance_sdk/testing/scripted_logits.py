"""A row of logits with the interface of an event's logits, without an array.

Almost all logits of a scripted model are equal. So a row stores only those that differ, and two
sets of tokens as bits of integers: the ones that differ, and the ones that can be sampled. The cost
of a step then grows with the vocabulary no faster than that of a bitmask.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from concordance_shared import AdjustedLogits, column, token_columns

#: The logit of a token that is not listed.
_COMMON = 0.0


class ScriptedLogits:
    """The logits of one position.  (vocab,) float32

    Examples:
        >>> row = ScriptedLogits([0.0, 2.0, 1.0])
        >>> row[1], row[0, 1], row.top_k(2)
        (2.0, 2.0, [(1, 2.0), (2, 1.0)])
        >>> round(row.margin(), 3), round(row.entropy(), 3)
        (1.0, 0.832)
    """

    def __init__(
        self,
        logits: Sequence[float] | Mapping[int, float],
        *,
        vocab_size: int | None = None,
        allowed: int | None = None,
    ) -> None:
        """Create a row.

        Args:
            logits: One for each token of the vocabulary; or, with `vocab_size`, those that are not
                0, by token id.
            vocab_size: The size of the vocabulary; by default the number of logits.
            allowed: The tokens that can be sampled, bit i for token i; by default all.

        Raises:
            IndexError: A token id is outside the vocabulary.
        """
        size = len(logits) if vocab_size is None else vocab_size
        self._size = size
        self._logits = dict(logits if isinstance(logits, Mapping) else enumerate(logits))
        if outside := [i for i in self._logits if not 0 <= i < size]:
            raise IndexError(f"token id {outside[0]} is outside the vocabulary of {size}")
        self._allowed = _all_tokens(size) if allowed is None else allowed
        is_dense = len(self._logits) == size
        self._listed = _all_tokens(size) if is_dense else _bits(self._logits, size)
        self._best: tuple[int, float] | None = None  # cache

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: Any) -> Any:
        """Return the logit of a token, or a slice as a numpy array; `[0, i]` equals `[i]`.

        Raises:
            IndexError: The token is outside the vocabulary, or the row index is not 0.
            TypeError: The index is neither an integer nor a slice.
        """
        at = column(key)
        if isinstance(at, slice):
            return self.to_numpy()[at]
        at = at.__index__()
        at += self._size if at < 0 else 0
        if not 0 <= at < self._size:
            raise IndexError(f"token id {key} is outside the vocabulary of {self._size}")
        return self._logit(at)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """Support `numpy.asarray(event.logits)`."""
        del copy
        row = self.to_numpy()
        return row if dtype is None else row.astype(dtype)

    @property
    def best(self) -> tuple[int, float]:
        """The top token and its logit; of ties, the lowest token id."""
        if self._best is None:
            ranked = [*self._sampleable(), *((i, _COMMON) for i in _lowest_bits(self._common, 1))]
            self._best = min(ranked, key=_rank, default=(0, -math.inf))
        return self._best

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` largest logits as `(token_id, logit)`, ties in the order of token ids.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"top_k(k) returns the k largest logits: k={k} is negative")
        k = min(k, self._size)
        ranked = self._sampleable() + [(i, _COMMON) for i in _lowest_bits(self._common, k)]
        ranked.sort(key=_rank)
        if len(ranked) < k:  # those that cannot be sampled come last
            chosen = {i for i, _ in ranked}
            ranked += [(i, -math.inf) for i in range(self._size) if i not in chosen]
        return ranked[:k]

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of one token, in nats.

        Raises:
            IndexError: The token is outside the vocabulary.
            TypeError: It is not an integer.
        """
        return self.logprobs([token_id])[0]

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of several tokens, in their order.

        Raises:
            IndexError: A token is outside the vocabulary.
            TypeError: They are not integers.
        """
        return [self._logit(i) - self._log_total for i in token_columns(token_ids, self._size)]

    def entropy(self) -> float:
        """Return the entropy of the distribution, in nats."""
        logprobs = [(logit - self._log_total, count) for logit, count in self._groups()]
        return max(-sum(math.exp(logprob) * logprob * count for logprob, count in logprobs), 0.0)

    def margin(self, k: int = 2) -> float:
        """Return the difference between the largest and the `k`-th largest logit, in nats.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(f"margin(k) takes the k-th largest logit: k={k} is less than 1")
        best = self.top_k(k)
        can_compare = len(best) == k and best[-1][1] > -math.inf
        return best[0][1] - best[-1][1] if can_compare else math.inf

    def to_numpy(self) -> Any:
        """Return the row as a numpy array.  (vocab,) float32. Requires numpy."""
        import numpy as np  # noqa: PLC0415  # the SDK does not depend on it

        row = np.full(self._size, _COMMON, np.float32)
        row[list(self._logits)] = list(self._logits.values())
        packed = np.frombuffer(self._packed(), np.uint8)
        row[np.unpackbits(packed, count=self._size, bitorder="little") == 0] = -np.inf
        return row

    def adjusted(self, action: AdjustedLogits) -> Self:
        """Return the row after an action.

        Raises:
            ValueError: The action's logits are not all numbers, or no token is left to sample.
        """
        given = action.logits is not None
        logits = dict(enumerate(_given_row(action.logits))) if given else self._logits
        allowed = _all_tokens(self._size) if given else self._allowed
        if action.bias is not None:
            biases = action.bias
            if not isinstance(biases, Mapping):
                biases = dict(enumerate(_given_row(biases)))
            logits = logits | {i: logits.get(i, _COMMON) + bias for i, bias in biases.items()}
        if action.allow is not None:
            allowed &= _bits(action.allow, self._size)
        if action.ban:
            allowed &= ~_bits(action.ban, self._size)
        if action.mask is not None:
            allowed &= int.from_bytes(action.mask, "little")
        row = type(self)(logits, vocab_size=self._size, allowed=allowed)
        if row.best[1] == -math.inf:
            raise ValueError("no token is left to sample")
        return row

    @functools.cached_property
    def _log_total(self) -> float:
        """The logarithm of the sum of all exponentials: a logit minus it is a log-probability."""
        groups, best = self._groups(), self.best[1]
        return best + math.log(sum(math.exp(logit - best) * count for logit, count in groups))

    def _groups(self) -> list[tuple[float, int]]:
        """Return the logits that can be sampled, and the number of tokens with each."""
        groups = [(logit, 1) for _, logit in self._sampleable()]
        return [*groups, (_COMMON, self._common.bit_count())] if self._common else groups

    @property
    def _common(self) -> int:
        """The tokens that can be sampled and are not listed, as bits."""
        return self._allowed & ~self._listed

    def _sampleable(self) -> list[tuple[int, float]]:
        """Return the listed tokens that can be sampled, with their logits."""
        if self._allowed == _all_tokens(self._size):
            return [(i, logit) for i, logit in self._logits.items() if logit > -math.inf]
        packed = self._packed()
        return [
            (i, logit)
            for i, logit in self._logits.items()
            if packed[i >> 3] >> (i & 7) & 1 and logit > -math.inf
        ]

    def _logit(self, token_id: int) -> float:
        if not self._allowed >> token_id & 1:
            return -math.inf
        return self._logits.get(token_id, _COMMON)

    def _packed(self) -> bytes:
        """Return the bitmask of sampleable tokens: bit `i % 8` of byte `i // 8` for token i."""
        return self._allowed.to_bytes(-(-self._size // 8), "little")


def _rank(pair: tuple[int, float]) -> tuple[float, int]:
    """Sort key of `(token_id, logit)`: descending logits, then ascending token ids."""
    return -pair[1], pair[0]


@functools.lru_cache(8)
def _all_tokens(size: int) -> int:
    """Return an integer with one bit set for each token."""
    return (1 << size) - 1


def _bits(token_ids: Iterable[int], size: int) -> int:
    """Return an integer with bit i set for each token i."""
    packed = bytearray(-(-size // 8))
    for token_id in token_ids:
        packed[token_id >> 3] |= 1 << (token_id & 7)
    return int.from_bytes(packed, "little")


def _lowest_bits(bits: int, k: int) -> list[int]:
    """Return the indices of the `k` lowest set bits."""
    places: list[int] = []
    while bits and len(places) < k:
        lowest = bits & -bits
        places.append(lowest.bit_length() - 1)
        bits ^= lowest
    return places


def _given_row(logits: Any) -> list[float]:
    """Validate the logits that a mod returned and convert them to a list."""
    if isinstance(logits, bytes | bytearray):
        logits = memoryview(logits).cast("f")
    if hasattr(logits, "reshape"):
        logits = logits.reshape(-1)
    row = [float(logit) for logit in (logits.tolist() if hasattr(logits, "tolist") else logits)]
    if any(math.isnan(logit) or logit == math.inf for logit in row):
        raise ValueError("the row holds NaN or +inf")
    return row
