"""The tokens that a step sampled, on the device until the next step reads them."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.logprobs import Logprobs
from concordance_inference.generation import TokenLogprobs


class SampledTokens:
    """One sampled token per row of the batch, with logprobs for the rows that requested them."""

    def __init__(
        self,
        token_ids: mx.array,
        logprobs: Logprobs | None = None,
        logprob_rows: Sequence[Row] = (),
    ) -> None:
        """Hold tokens.

        Args:
            token_ids: (rows,) int32
            logprobs: Of the rows that requested them.
            logprob_rows: These rows.
        """
        self.token_ids = token_ids
        self._logprobs = logprobs
        self._logprob_rows = tuple(logprob_rows)

    def regrouped(self, keep: Sequence[int], num_new: int) -> "SampledTokens":
        """Return the tokens of another batch: the rows `keep`, followed by `num_new` new ones."""
        kept = self.token_ids[mx.array(list(keep), mx.int32)]
        token_ids = mx.concatenate([kept, mx.zeros((num_new,), mx.int32)])
        return SampledTokens(token_ids, self._logprobs, self._logprob_rows)

    def read(self) -> list[int]:
        """Return the token ids. Waits for the device."""
        return cast(list[int], self.token_ids.tolist())

    def logprobs_of(self, row: Row) -> TokenLogprobs | None:
        """Return the logprobs of a row's token, if requested."""
        if self._logprobs is None or row not in self._logprob_rows:
            return None
        return self._logprobs.read()[self._logprob_rows.index(row)]


def launch_logprobs(
    logits: mx.array, token_ids: mx.array, rows: Sequence[Row]
) -> tuple[Logprobs | None, list[Row]]:
    """Launch the logprobs of sampled tokens.

    Args:
        logits: The model's, before penalties and mods.  (sampled rows, vocab) float32
        token_ids: (sampled rows,) int32
        rows: The row of each.

    Returns:
        The logprobs, and the rows that requested them.
    """
    indices = [i for i, row in enumerate(rows) if row.output.logprobs]
    if not indices:
        return None, []
    if len(indices) < len(rows):
        logits, token_ids = logits[mx.array(indices)], token_ids[mx.array(indices)]
    requesting = [rows[i] for i in indices]
    num_top = max(row.request.top_logprobs or 0 for row in requesting)
    return Logprobs(logits, token_ids, num_top), requesting
