"""A model that says what the test wants, position by position."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from concordance_shared import AdjustedLogits

Script = Sequence[int] | Callable[[Sequence[int]], int]


class ScriptedModel:
    """Wants token i of a script at position i of the completion, whatever stands before it.

    A function as a script is given the completion so far and says the token that it wants. Behind
    the end of a script the model wants to end.
    """

    def __init__(self, script: Script, *, vocab_size: int, eos_id: int) -> None:
        """Make a model.

        Args:
            script: Token ids, or a function of the completion.
            vocab_size: How many tokens there are.
            eos_id: The token that ends a completion.
        """
        self._script = script
        self._vocab_size = vocab_size
        self._eos_id = eos_id
        self.reads: list[tuple[int, ...]] = []  # what each forward pass read

    def forward(self, read: Sequence[int], completion_ids: Sequence[int]) -> "ScriptedLogits":
        """Read tokens; return the scores of the next position: 1 for the wanted token, else 0."""
        self.reads.append(tuple(read))
        scores = [0.0] * self._vocab_size
        scores[self._wanted(completion_ids)] = 1.0
        return ScriptedLogits(scores)

    def _wanted(self, completion_ids: Sequence[int]) -> int:
        if callable(self._script):
            return self._script(completion_ids)
        position = len(completion_ids)
        return self._script[position] if position < len(self._script) else self._eos_id


class ScriptedLogits:
    """A row of scores in a plain list, with all that an event's logits can do."""

    def __init__(self, scores: list[float]) -> None:
        """Hold `scores`, one for each token of the vocabulary."""
        self._scores = scores

    def __len__(self) -> int:
        return len(self._scores)

    def __getitem__(self, token_id: int) -> float:
        return self._scores[token_id]

    def top_k(self, k: int) -> list[tuple[int, float]]:
        """The `k` best `(token_id, score)` pairs, best first."""
        order = sorted(range(len(self._scores)), key=lambda i: (-self._scores[i], i))
        return [(i, self._scores[i]) for i in order[:k]]

    def to_numpy(self) -> Any:
        """The row as a numpy array.  (vocab,) float32. Needs numpy to be installed."""
        import numpy as np  # noqa: PLC0415  # the SDK does not depend on it

        return np.array(self._scores, dtype=np.float32)

    def adjusted(self, action: AdjustedLogits) -> Self:
        """The row after an action.

        Raises:
            ValueError: The action's row is not made of numbers, or no token is left.
        """
        scores = list(self._scores) if action.logits is None else _row(action.logits)
        for token_id, bias in (action.bias or {}).items():
            scores[token_id] += bias
        kept = set(range(len(scores)) if action.allow is None else action.allow)
        kept -= set(action.ban or ())
        if action.mask is not None:
            kept = {i for i in kept if action.mask[i // 8] >> i % 8 & 1}
        scores = [score if i in kept else -float("inf") for i, score in enumerate(scores)]
        if max(scores) == -float("inf"):
            raise ValueError("no token is left to sample")
        return type(self)(scores)

    def best(self) -> int:
        """The token with the highest score, the first of equals."""
        return max(range(len(self._scores)), key=self._scores.__getitem__)


def _row(logits: Any) -> list[float]:
    """The scores of a row that a mod handed over, checked."""
    if isinstance(logits, bytes | bytearray):
        logits = memoryview(logits).cast("f")
    if hasattr(logits, "reshape"):
        logits = logits.reshape(-1)
    row = [float(score) for score in (logits.tolist() if hasattr(logits, "tolist") else logits)]
    if any(score != score or score == float("inf") for score in row):  # noqa: PLR0124  # NaN
        raise ValueError("the row holds NaN or +inf")
    return row
