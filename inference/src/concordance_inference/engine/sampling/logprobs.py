"""How likely the model found tokens: their log-probabilities and the likeliest alternatives."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.generation import TokenLogprobs


class Logprobs:
    """The log-probabilities of one token at each of some positions, on the device until read."""

    def __init__(self, logits: mx.array, token_ids: mx.array, num_top: int) -> None:
        """Launch the computation.

        Args:
            logits: The model's own scores.  (positions, vocab) float32
            token_ids: The tokens that stand there.  (positions,) int32
            num_top: How many alternatives to tell.
        """
        total = mx.logsumexp(logits, axis=-1, keepdims=True)
        at = mx.maximum(token_ids, 0)[:, None]
        self._chosen = (mx.take_along_axis(logits, at, axis=-1) - total)[:, 0]
        self._token_ids = token_ids
        self._top_ids = _likeliest(logits, num_top)  # (positions, num_top)
        self._top = mx.take_along_axis(logits, self._top_ids, axis=-1) - total
        self._entries: list[TokenLogprobs] | None = None
        mx.async_eval(self._chosen, self._token_ids, self._top_ids, self._top)

    def read(self) -> list[TokenLogprobs]:
        """What came out, one for each position. Waits for it."""
        if self._entries is None:
            self._entries = self._read()
        return self._entries

    def _read(self) -> list[TokenLogprobs]:
        columns = (self._token_ids, self._chosen, self._top_ids, self._top)
        rows = zip(*(cast(Sequence[object], column.tolist()) for column in columns), strict=True)
        return [_entry(*row) for row in rows]  # type: ignore[arg-type]


def _likeliest(logits: mx.array, k: int) -> mx.array:
    """The `k` likeliest tokens of each row, in no order.  (rows, vocab) -> (rows, k) uint32"""
    if not k:
        return mx.zeros((logits.shape[0], 0), mx.uint32)
    if k >= logits.shape[-1]:
        return mx.broadcast_to(mx.arange(logits.shape[-1], dtype=mx.uint32), logits.shape)
    return mx.argpartition(-logits, k - 1, axis=-1)[:, :k]


def _entry(
    token_id: int, logprob: float, top_ids: Sequence[int], top: Sequence[float]
) -> TokenLogprobs:
    pairs = sorted(zip(top_ids, top, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return TokenLogprobs(token_id=token_id, logprob=logprob, top=tuple(pairs))
