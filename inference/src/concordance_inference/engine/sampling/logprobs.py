"""Log-probabilities of tokens and their most probable alternatives."""

import math
from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.engine.sampling.log_softmax import normalizer
from concordance_inference.engine.sampling.top_tokens import top_tokens
from concordance_inference.generation import TokenLogprobs


class Logprobs:
    """Log-probabilities of one token for each position, on the device until they are read."""

    def __init__(
        self,
        logits: mx.array,
        token_ids: mx.array,
        num_top: int,
        sampled: mx.array | None = None,
        *,
        with_ranks: bool = False,
    ) -> None:
        """Launch the computation.

        Args:
            logits: The model's own logits.  (positions, vocab) float32
            token_ids: The tokens at these positions.  (positions,) int32
            num_top: Alternatives for each position; of equal logits, those with the lowest ids.
            sampled: Log-probabilities under the distribution that was sampled from; NaN where they
                are not known.  (positions,) float32
            with_ranks: Also count the tokens that are more probable.
        """
        reference, log_sum = normalizer(logits)
        at = mx.maximum(token_ids, 0)[:, None]
        chosen = mx.take_along_axis(logits, at, axis=-1)
        self._chosen = (chosen - reference - log_sum)[:, 0]
        self._token_ids = token_ids
        self._top_ids, top = _top_tokens(logits, num_top)  # (positions, num_top)
        self._top = top - reference - log_sum
        self._sampled = sampled
        self._ranks = (logits > chosen).sum(axis=-1) + 1 if with_ranks else None
        self._entries: list[TokenLogprobs] | None = None
        optional = [array for array in (self._sampled, self._ranks) if array is not None]
        mx.async_eval(self._chosen, self._token_ids, self._top_ids, self._top, *optional)

    def read(self) -> list[TokenLogprobs]:
        """Wait for the device and return one entry for each position."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> list[TokenLogprobs]:
        columns = (self._token_ids, self._chosen, self._top_ids, self._top)
        known = [cast(Sequence[object], column.tolist()) for column in columns]
        optional = [_values(self._sampled, len(known[0])), _values(self._ranks, len(known[0]))]
        rows = zip(*known, *optional, strict=True)
        return [_entry(*row) for row in rows]  # type: ignore[arg-type]


def _values(array: mx.array | None, count: int) -> Sequence[object]:
    """Return the values of an optional column."""
    return [None] * count if array is None else cast(Sequence[object], array.tolist())


def _top_tokens(logits: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """Return ids and logits of the `k` most probable tokens.  (positions, k), (positions, k)"""
    if not k:
        none = mx.zeros((logits.shape[0], 0))
        return none.astype(mx.uint32), none
    return top_tokens(logits, k)


def _entry(
    token_id: int,
    logprob: float,
    top_ids: Sequence[int],
    top: Sequence[float],
    sampled: float | None,
    rank: int | None,
) -> TokenLogprobs:
    return TokenLogprobs(
        token_id=token_id,
        logprob=logprob,
        top=tuple(zip(top_ids, top, strict=True)),
        sampled_logprob=None if sampled is None or math.isnan(sampled) else sampled,
        rank=rank,
    )
