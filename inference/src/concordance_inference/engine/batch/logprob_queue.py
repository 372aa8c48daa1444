"""Log-probabilities on their way from the device to the rows that asked for them."""

from collections.abc import Sequence
from typing import cast

import mlx.core as mx

from concordance_inference.engine.batch.step_logits import KnownLogits, Remembered
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.logprobs import Logprobs
from concordance_inference.generation import TokenLogprobs


class SampledTokens:
    """The tokens that a step sampled, still on the device, and how likely the model found them."""

    def __init__(
        self, token_ids: mx.array, logprobs: Logprobs | None = None, asked: Sequence[Row] = ()
    ) -> None:
        """Hold what was sampled.

        Args:
            token_ids: One for each row of the batch.  (rows,) int32
            logprobs: Of the rows that asked for them.
            asked: These rows.
        """
        self.token_ids = token_ids
        self._logprobs = logprobs
        self._asked = tuple(asked)

    def of_rows(self, keep: Sequence[int], num_new: int) -> "SampledTokens":
        """The same for another batch: the rows `keep`, and new ones behind them."""
        kept = self.token_ids[mx.array(list(keep), mx.int32)]
        token_ids = mx.concatenate([kept, mx.zeros((num_new,), mx.int32)])
        return SampledTokens(token_ids, self._logprobs, self._asked)

    def read(self) -> list[int]:
        """The tokens. Waits for them."""
        return cast(list[int], self.token_ids.tolist())

    def logprobs_of(self, row: Row) -> TokenLogprobs | None:
        """How likely the model found a row's token, if it asked."""
        if self._logprobs is None or row not in self._asked:
            return None
        return self._logprobs.read()[self._asked.index(row)]


def score_sampled(
    logits: mx.array, token_ids: mx.array, rows: Sequence[Row]
) -> tuple[Logprobs | None, list[Row]]:
    """Launch the log-probabilities of tokens just sampled, for the rows that asked for them.

    Args:
        logits: The model's own.  (sampled rows, vocab) float32
        token_ids: (sampled rows,) int32, still on the device
        rows: The row of each.
    """
    asking = [i for i, row in enumerate(rows) if row.output.logprobs]
    if not asking:
        return None, []
    if len(asking) < len(rows):
        some = mx.array(asking)
        logits, token_ids = logits[some], token_ids[some]
    asked = [rows[i] for i in asking]
    return Logprobs(logits, token_ids, max(row.num_top_logprobs for row in asked)), asked


class LogprobQueue:
    """StepLogits tokens that stand in a completion already, and tells their rows a step later."""

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self._launched: list[tuple[Logprobs, tuple[tuple[Row, int], ...]]] = []

    def launch(self, known: KnownLogits) -> None:
        """Launch the computation of some log-probabilities."""
        token_ids = [row.state.token_ids[length] for row, length in known.at]
        num_top = max(row.num_top_logprobs for row, _ in known.at)
        logprobs = Logprobs(known.logits, mx.array(token_ids, mx.int32), num_top)
        self._launched.append((logprobs, known.at))

    def tell(self) -> None:
        """Hand over what was launched. Waits for it."""
        for logprobs, at in self._launched:
            for entry, (row, length) in zip(logprobs.read(), at, strict=True):
                row.output.take_logprobs(length - row.state.prompt_len, entry)
        self._launched.clear()

    def tell_remembered(self, row: Row) -> None:
        """Hand over those of forced tokens whose positions had been scored before."""
        while row.first_to_score < len(row.state.token_ids):
            length = row.first_to_score
            remembered = cast(Remembered | None, row.recall(length))
            if remembered is None:
                return
            self.launch(KnownLogits(remembered.logits, ((row, length),)))
            self.tell()
