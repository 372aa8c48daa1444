"""The tokens that a step sampled, on the device until the next step reads them."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.batch.trace_queue import TracedSample
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.logprobs import Logprobs
from concordance_inference.generation import TokenLogprobs


class SampledFrom(Struct, frozen=True, eq=False):
    """The model's logits, before penalties and mods, from which tokens were sampled."""

    logits: mx.array  # (sampled rows, vocab) float32
    rows: Sequence[Row]  # the row of each


class SampledTokens:
    """One sampled token per row of the batch, with logprobs for the rows that requested them.

    A mod may read the logprob of any token. The first time in a request it is computed then, and
    waits for the pass that was launched after sampling; from then on it is computed together with
    the sampling, as for a row that requested logprobs:

        step of the engine      1                 2                     3
        device                  sample a, pass    sample b, pass        sample c + logprob, pass
        host                                      a: read, wait         b: read, wait
                                                  (sets the flag)       c: read, known
    """

    def __init__(
        self,
        token_ids: mx.array,
        logprobs: Logprobs | None = None,
        logprob_rows: Sequence[Row] = (),
        source: SampledFrom | None = None,
        traced: TracedSample | None = None,
    ) -> None:
        """Hold tokens.

        Args:
            token_ids: (rows,) int32
            logprobs: Of the rows that requested them.
            logprob_rows: These rows.
            source: What they were sampled from; `None` if no mod can read more logprobs.
            traced: The values of the rows that are traced.
        """
        self.token_ids = token_ids
        self.traced = traced
        self._logprobs = logprobs
        self._logprob_rows = tuple(logprob_rows)
        self.source = source

    def regrouped(self, keep: Sequence[int], num_new: int) -> "SampledTokens":
        """Return the tokens of another batch: the rows `keep`, followed by `num_new` new ones."""
        kept = self.token_ids[mx.array(list(keep), mx.int32)]
        token_ids = mx.concatenate([kept, mx.zeros((num_new,), mx.int32)])
        return SampledTokens(
            token_ids, self._logprobs, self._logprob_rows, self.source, self.traced
        )

    def read(self) -> list[int]:
        """Return the token ids. Waits for the device."""
        return cast(list[int], self.token_ids.tolist())

    def read_logprob(self, row: Row, token_id: int) -> float:
        """Return the logprob of a row's token for a mod; compute it unless it is known."""
        row.reads_logprobs = True
        entry = self.logprobs_of(row)
        if entry is None:
            assert self.source is not None
            i = list(self.source.rows).index(row)
            logits = self.source.logits[i : i + 1]
            (entry,) = Logprobs(logits, mx.array([token_id], mx.int32), 0).read()
        return entry.logprob

    def logprobs_of(self, row: Row) -> TokenLogprobs | None:
        """Return the logprobs of a row's token, if they were computed with the sampling."""
        if self._logprobs is None or row not in self._logprob_rows:
            return None
        return self._logprobs.read()[self._logprob_rows.index(row)]


def launch_logprobs(
    source: SampledFrom, token_ids: mx.array, sampled_logprobs: mx.array | None = None
) -> tuple[Logprobs | None, Sequence[Row]]:
    """Launch the logprobs of sampled tokens.

    Args:
        source: What they were sampled from.
        token_ids: (sampled rows,) int32
        sampled_logprobs: As `BatchState.sample` returns them.  (sampled rows,) float32

    Returns:
        The logprobs, and the rows whose clients or mods read them.
    """
    logits, rows = source.logits, source.rows
    indices = [i for i, row in enumerate(rows) if row.output.logprobs or row.reads_logprobs]
    if not indices:
        return None, []
    if len(indices) < len(rows):
        logits, token_ids = logits[mx.array(indices)], token_ids[mx.array(indices)]
        if sampled_logprobs is not None:
            sampled_logprobs = sampled_logprobs[mx.array(indices)]
    reading = [rows[i] for i in indices]
    num_top = max(row.request.top_logprobs or 0 for row in reading)
    return Logprobs(logits, token_ids, num_top, sampled_logprobs), reading
