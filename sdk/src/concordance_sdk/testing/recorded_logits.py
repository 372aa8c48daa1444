"""The logits of a position, as far as a trace has them."""

import math
from collections.abc import Sequence
from typing import Any, Never, Self

from concordance_shared import AdjustedLogits, column, token_columns


class UnrecordedError(LookupError):
    """A mod reads something that the trace does not have.

    Examples:
        >>> from concordance_sdk.testing.recorded_logits import RecordedLogits
        >>> logits = RecordedLogits({5: -0.1}, vocab_size=257)
        >>> try:
        ...     logits.top_k(2)
        ... except UnrecordedError as exc:
        ...     print(exc)
        the mod reads top_k(2): the trace has the 1 most probable tokens only
    """


class RecordedLogits:
    """The most probable tokens of a position. Their logits are given as log-probabilities.

    Reading anything else raises an `UnrecordedError`.
    """

    def __init__(
        self,
        logprobs: dict[int, float],
        *,
        vocab_size: int,
        entropy: float | None = None,
        missing: str = "",
    ) -> None:
        """Hold log-probabilities.

        Args:
            logprobs: By token id, the most probable first.
            vocab_size: The size of the vocabulary.
            entropy: Of the distribution.
            missing: Why there are none.
        """
        self._logprobs = logprobs
        self._size = vocab_size
        self._entropy = entropy
        self._missing = missing or f"the trace has the {len(logprobs)} most probable tokens only"

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: Any) -> Any:
        """Return the log-probability of a token.

        Raises:
            UnrecordedError: The trace does not have it.
        """
        at = column(key)
        if isinstance(at, slice):
            self._lacks("a slice of the logits")
        return self.logprob(at.__index__())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:  # noqa: FBT001
        """Raise: the trace does not have all logits."""
        del dtype, copy
        self.to_numpy()

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """Return the `k` most probable tokens.

        Raises:
            UnrecordedError: The trace has fewer.
        """
        best = sorted(self._logprobs.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        if len(best) < min(k, self._size):
            self._lacks(f"top_k({k})")
        return best

    def logprob(self, token_id: int) -> float:
        """Return the log-probability of a token.

        Raises:
            UnrecordedError: The trace does not have it.
        """
        return self.logprobs([token_id])[0]

    def logprobs(self, token_ids: Sequence[int]) -> list[float]:
        """Return the log-probabilities of several tokens.

        Raises:
            UnrecordedError: The trace does not have one of them.
        """
        found = [self._logprobs.get(i) for i in token_columns(token_ids, self._size)]
        for token_id, logprob in zip(token_ids, found, strict=True):
            if logprob is None:
                self._lacks(f"the logit of token {token_id}")
        return [logprob for logprob in found if logprob is not None]

    def entropy(self) -> float:
        """Return the entropy of the distribution, in nats.

        Raises:
            UnrecordedError: The trace does not have it.
        """
        return self._lacks("the entropy") if self._entropy is None else self._entropy

    def margin(self, k: int = 2) -> float:
        """Return the difference between the largest and the `k`-th largest logit, in nats.

        Raises:
            UnrecordedError: The trace has fewer.
        """
        best = self.top_k(k)
        return best[0][1] - best[-1][1] if len(best) == k else math.inf

    def to_numpy(self) -> Any:
        """Raise: the trace does not have all logits."""
        self._lacks("all logits")

    def adjusted(self, action: AdjustedLogits) -> Self:
        """Return other logits, of which nothing is recorded."""
        del action
        missing = "an earlier mod adjusted the logits, and the trace has the model's"
        return type(self)({}, vocab_size=self._size, missing=missing)

    def _lacks(self, what: str) -> Never:
        raise UnrecordedError(f"the mod reads {what}: {self._missing}")
