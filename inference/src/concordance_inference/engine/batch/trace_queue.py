"""The probabilities of sampled tokens of traced rows, on their way to the recorders."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import mlx.core as mx
from msgspec import Struct

from concordance_inference.engine.request.row import Row
from concordance_inference.engine.request.row_trace import adjusts_logits
from concordance_inference.engine.sampling.row_ops import take_rows
from concordance_inference.engine.sampling.trace_values import TraceValues
from concordance_inference.generation import TokenLogprobs

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


class ForcedTokens(Struct, frozen=True, eq=False):
    """The values of tokens that mods forced at `ForwardPass`, whose logits were there."""

    values: TraceValues
    tokens: tuple[tuple["TraceRecorder", int, int], ...]  # the recorder, position and token of each

    def deliver(self) -> None:
        """Record the log-probabilities."""
        rows = self.values.read()
        for (recorder, position, token_id), row in zip(self.tokens, rows, strict=True):
            n = (len(row) - 4) // 6
            top = tuple(zip(map(int, row[4 : 4 + n]), row[4 + n : 4 + 2 * n], strict=True))
            recorder.logprobs(position, TokenLogprobs(token_id=token_id, logprob=row[0], top=top))


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
        self._forced: list[ForcedTokens] = []
        self._asked: list[tuple[mx.array, tuple[Row, int, int]]] = []

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

    def take_forced(self, logits: mx.array, before: Mapping[int, tuple[Row, int, int]]) -> None:
        """Launch and queue the values of tokens that mods forced instead of sampling.

        Args:
            logits: The model's.  (rows, vocab) float32
            before: By row of `logits`: the request, its length and the tokens removed from it,
                before its mods decided.
        """
        forced = {
            i: (row.tracer, length, row.state.token_ids[row.state.prompt_len + length])
            for i, (row, length, num_removed) in before.items()
            if row.tracer is not None
            and not row.output.logprobs  # they are recorded as well
            and row.state.num_completion > length
            and row.state.num_backtracked == num_removed
        }
        if forced:
            some = take_rows(logits, list(forced))
            ids = mx.array([token_id for _, _, token_id in forced.values()], mx.int32)
            values = TraceValues(some, ids, some, [False] * len(forced))
            self._forced.append(ForcedTokens(values, tuple(forced.values())))

    def await_answer(self, logits: mx.array, before: tuple[Row, int, int]) -> None:
        """Keep the logits of a row whose mods have not decided yet: they may force a token.

        Args:
            logits: The model's.  (1, vocab) float32
            before: As a value of `take_forced`.
        """
        self._asked.append((logits, before))

    def take_answered(self) -> None:
        """Take the tokens that were forced meanwhile, as `take_forced` does."""
        asked, self._asked = self._asked, []
        for logits, before in asked:
            if before[0].calls.is_parked:
                self.await_answer(logits, before)
            else:
                self.take_forced(logits, {0: before})

    def deliver(self) -> None:
        """Record all values that are queued."""
        for forced in self._forced:
            forced.deliver()
        self._forced.clear()
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
