"""The probabilities of sampled tokens of traced rows, on their way to the recorders."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from concordance_inference.engine.request.row import Row
from concordance_inference.engine.request.row_trace import adjusts_logits
from concordance_inference.engine.sampling.row_ops import take_rows
from concordance_inference.engine.sampling.trace_values import TraceValues

if TYPE_CHECKING:
    from concordance_inference.traces.recorder import TraceRecorder


class TracedSample:
    """The values of the traced rows of one sampling."""

    def __init__(self, values: TraceValues, rows: Sequence[Row]) -> None:
        """Hold launched values of rows."""
        self.values = values
        self.rows = tuple(rows)

    @property
    def num_draws(self) -> tuple[int, ...]:
        """The number of draws that each row's recorder has."""
        return tuple(row.tracer.num_draws if row.tracer else 0 for row in self.rows)


class TraceQueue:
    """Delivers values one step after the tokens, when the device has long computed them.

        step of the engine      1                       2                    3
        device                  sample a, values, pass  sample b, values, pass
        host                                            a: read, record      values of a: record

    Waiting for them in step 2 would wait for the sampling that follows the token.
    """

    def __init__(self) -> None:
        """Create an empty queue."""
        self._taken: list[tuple[TracedSample, list[tuple[TraceRecorder, int, int]]]] = []

    def take(self, sample: TracedSample, num_draws: Sequence[int]) -> None:
        """Queue the values of rows whose tokens were just dispatched.

        Args:
            sample: The values.
            num_draws: Of each row's recorder, before: a token that is sampled again has no draw.
        """
        drawn = [
            (row.tracer, before, i)
            for i, (row, before) in enumerate(zip(sample.rows, num_draws, strict=True))
            if row.tracer is not None and row.tracer.num_draws > before
        ]
        if drawn:
            self._taken.append((sample, drawn))

    def deliver(self) -> None:
        """Record all values that are queued."""
        for sample, drawn in self._taken:
            values = sample.values.read()
            for recorder, draw, i in drawn:
                is_adjusted = sample.values.is_adjusted[i]
                recorder.values(draw, values[i], is_adjusted=is_adjusted)
        self._taken.clear()


def launch_traced(
    logits: mx.array, adjusted: mx.array, token_ids: mx.array, rows: Sequence[Row]
) -> TracedSample | None:
    """Launch the values of the rows that are traced token by token; `None` if none is.

    Args:
        logits: The model's.  (rows, vocab) float32
        adjusted: Those that are sampled from, before temperature and filters.
        token_ids: The sampled tokens.  (rows,) int32
        rows: The row of each.
    """
    traced = [i for i, row in enumerate(rows) if row.tracer is not None]
    if not traced:
        return None
    some = [rows[i] for i in traced]
    values = TraceValues(
        take_rows(logits, traced),
        take_rows(token_ids, traced),
        take_rows(adjusted, traced),
        [adjusts_logits(row) for row in some],
    )
    return TracedSample(values, some)
