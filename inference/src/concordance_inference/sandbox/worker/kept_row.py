"""What a mod computes of a row of logits that it kept, since the engine has dropped it."""

from collections.abc import Sequence
from typing import Any


def logprobs(row: bytes, token_ids: Sequence[int]) -> list[float]:
    """Return the log-probabilities of tokens; NaN if the row holds NaN.

    Args:
        row: The row.  (vocab,) float32
        token_ids: The tokens.
    """
    return [float(value) for value in _log_softmax(row)[list(token_ids)]]


def entropy(row: bytes) -> float:
    """Return the entropy of the distribution, in nats; NaN if the row holds NaN."""
    np, found = _numpy(), _log_softmax(row)
    weighted = np.where(np.isinf(found), 0.0, np.exp(found) * found)
    return float(max(-weighted.sum(), 0.0))


def top_k(row: bytes, k: int) -> list[tuple[int, float]]:
    """Return the `k` largest logits as `(token_id, logit)`, ties in the order of token ids."""
    np = _numpy()
    logits = np.frombuffer(row, np.float32)
    best = np.argsort(-logits, kind="stable")[:k]
    return [(int(i), float(logits[i])) for i in best]


def _log_softmax(row: bytes) -> Any:
    """Return the log-probabilities.  (vocab,) float64"""
    np = _numpy()
    logits = np.frombuffer(row, np.float32).astype(np.float64)
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def _numpy() -> Any:
    import numpy as np  # noqa: PLC0415  # loaded by the zygote; most mods do not need it

    return np
