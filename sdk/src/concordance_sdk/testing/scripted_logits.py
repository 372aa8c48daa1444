"""A row of scores that does all that an event's logits do, without an array.

Almost all scores of a scripted model are equal. So a row keeps the few that differ, and two sets
of tokens as the bits of integers: which are special, and which can be sampled. What a step costs
then grows with the vocabulary no faster than a bitmask does.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from concordance_shared import AdjustedLogits, column

#: The score of a token that is not special.
_COMMON = 0.0


class ScriptedLogits:
    """The scores of one position.  (vocab,) float32

    Examples:
        >>> row = ScriptedLogits([0.0, 2.0, 1.0])
        >>> row[1], row[0, 1], row.top_k(2)
        (2.0, 2.0, [(1, 2.0), (2, 1.0)])
        >>> round(row.margin(), 3), round(row.entropy(), 3)
        (1.0, 0.832)
    """

    def __init__(
        self,
        scores: Sequence[float] | Mapping[int, float],
        *,
        vocab_size: int | None = None,
        can_be: int | None = None,
    ) -> None:
        """Hold scores.

        Args:
            scores: One for each token of the vocabulary; or, with `vocab_size`, those that are
                not 0, by token id.
            vocab_size: How many tokens there are; as many as scores if left out.
            can_be: Which tokens can be sampled: bit i for token i; all if left out.

        Raises:
            IndexError: A score is that of a token outside the vocabulary.
        """
        size = len(scores) if vocab_size is None else vocab_size
        self._size = size
        self._scores = dict(scores if isinstance(scores, Mapping) else enumerate(scores))
        if outside := [i for i in self._scores if not 0 <= i < size]:
            raise IndexError(f"token id {outside[0]} is outside the vocabulary of {size}")
        self._can_be = _everything(size) if can_be is None else can_be
        is_dense = len(self._scores) == size
        self._special = _everything(size) if is_dense else _bits(self._scores, size)
        self._best: tuple[int, float] | None = None  # once it was asked for

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: Any) -> Any:
        """The score of a token, or those of a slice as a numpy array; `[0, i]` is `[i]`.

        Raises:
            IndexError: The token is outside the vocabulary, or the row is not the only one.
            TypeError: The index is neither a number nor a slice.
        """
        at = column(key)
        if isinstance(at, slice):
            return self.to_numpy()[at]
        at = at.__index__()
        at += self._size if at < 0 else 0
        if not 0 <= at < self._size:
            raise IndexError(f"token id {key} is outside the vocabulary of {self._size}")
        return self._score(at)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """What `numpy.asarray(event.logits)` gives."""
        del copy
        row = self.to_numpy()
        return row if dtype is None else row.astype(dtype)

    @property
    def best(self) -> tuple[int, float]:
        """The best token and its score, the first of equals."""
        if self._best is None:
            ranked = [*self._sampleable(), *((i, _COMMON) for i in _lowest_bits(self._common, 1))]
            self._best = min(ranked, key=_rank, default=(0, -math.inf))
        return self._best

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first, the first of equals first.

        Raises:
            ValueError: `k` is negative.
        """
        if k < 0:
            raise ValueError(f"top_k(k) gives the k best tokens: k={k} is negative")
        k = min(k, self._size)
        ranked = self._sampleable() + [(i, _COMMON) for i in _lowest_bits(self._common, k)]
        ranked.sort(key=_rank)
        if len(ranked) < k:  # those that cannot be sampled come last
            chosen = {i for i, _ in ranked}
            ranked += [(i, -math.inf) for i in range(self._size) if i not in chosen]
        return ranked[:k]

    def entropy(self) -> float:
        """How undecided the model is, in nats."""
        groups = [(score, 1) for _, score in self._sampleable()]
        if self._common:
            groups.append((_COMMON, self._common.bit_count()))
        best = max(score for score, _ in groups)
        weights = [(math.exp(score - best), score - best, count) for score, count in groups]
        total = sum(weight * count for weight, _, count in weights)
        return math.log(total) - sum(w * below * count for w, below, count in weights) / total

    def margin(self, k: int = 2) -> float:
        """How far the best score is ahead of the `k`-th best.

        Raises:
            ValueError: `k` is less than 1.
        """
        if k < 1:
            raise ValueError(f"margin(k) compares with the k-th best score: k={k} is less than 1")
        best = self.top_k(k)
        can_compare = len(best) == k and best[-1][1] > -math.inf
        return best[0][1] - best[-1][1] if can_compare else math.inf

    def to_numpy(self) -> Any:
        """The row as a numpy array.  (vocab,) float32. Needs numpy to be installed."""
        import numpy as np  # noqa: PLC0415  # the SDK does not depend on it

        row = np.full(self._size, _COMMON, np.float32)
        row[list(self._scores)] = list(self._scores.values())
        packed = np.frombuffer(self._packed(), np.uint8)
        row[np.unpackbits(packed, count=self._size, bitorder="little") == 0] = -np.inf
        return row

    def adjusted(self, action: AdjustedLogits) -> Self:
        """The row after an action.

        Raises:
            ValueError: The action's row is not made of numbers, or no token is left.
        """
        given = action.logits is not None
        scores = dict(enumerate(_given_row(action.logits))) if given else self._scores
        can_be = _everything(self._size) if given else self._can_be
        if action.bias:
            bias = {i: scores.get(i, _COMMON) + score for i, score in action.bias.items()}
            scores = scores | bias
        if action.allow is not None:
            can_be &= _bits(action.allow, self._size)
        if action.ban:
            can_be &= ~_bits(action.ban, self._size)
        if action.mask is not None:
            can_be &= int.from_bytes(action.mask, "little")
        row = type(self)(scores, vocab_size=self._size, can_be=can_be)
        if row.best[1] == -math.inf:
            raise ValueError("no token is left to sample")
        return row

    @property
    def _common(self) -> int:
        """The tokens that can be sampled and have the common score, as bits."""
        return self._can_be & ~self._special

    def _sampleable(self) -> list[tuple[int, float]]:
        """The special tokens that can be sampled, with their scores."""
        if self._can_be == _everything(self._size):
            return [(i, score) for i, score in self._scores.items() if score > -math.inf]
        packed = self._packed()
        return [
            (i, score)
            for i, score in self._scores.items()
            if packed[i >> 3] >> (i & 7) & 1 and score > -math.inf
        ]

    def _score(self, token_id: int) -> float:
        if not self._can_be >> token_id & 1:
            return -math.inf
        return self._scores.get(token_id, _COMMON)

    def _packed(self) -> bytes:
        """The bitmask of what can be sampled: bit `i % 8` of byte `i // 8` is token i's."""
        return self._can_be.to_bytes(-(-self._size // 8), "little")


def _rank(pair: tuple[int, float]) -> tuple[float, int]:
    """What sorts `(token_id, score)` pairs best first, the first of equals first."""
    return -pair[1], pair[0]


@functools.lru_cache(8)
def _everything(size: int) -> int:
    """A bit for each token of a vocabulary of `size`."""
    return (1 << size) - 1


def _bits(token_ids: Iterable[int], size: int) -> int:
    """A bit for each of the tokens of a vocabulary of `size`."""
    packed = bytearray(-(-size // 8))
    for token_id in token_ids:
        packed[token_id >> 3] |= 1 << (token_id & 7)
    return int.from_bytes(packed, "little")


def _lowest_bits(bits: int, k: int) -> list[int]:
    """The places of the `k` lowest bits."""
    places: list[int] = []
    while bits and len(places) < k:
        lowest = bits & -bits
        places.append(lowest.bit_length() - 1)
        bits ^= lowest
    return places


def _given_row(logits: Any) -> list[float]:
    """The scores of a row that a mod handed over, checked."""
    if isinstance(logits, bytes | bytearray):
        logits = memoryview(logits).cast("f")
    if hasattr(logits, "reshape"):
        logits = logits.reshape(-1)
    row = [float(score) for score in (logits.tolist() if hasattr(logits, "tolist") else logits)]
    if any(math.isnan(score) or score == math.inf for score in row):
        raise ValueError("the row holds NaN or +inf")
    return row
