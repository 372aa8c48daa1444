"""The execute loop. Belongs to one thread: it builds, owns and runs all that is on the device."""

from collections import deque
from collections.abc import Sequence
from typing import cast

import mlx.core as mx
from concordance_shared import EngineError, EngineStoppedError, ModError

from concordance_inference.engine.batch import BatchState
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.logits import LogitsRow
from concordance_inference.engine.plan import StepPlan, plan_step
from concordance_inference.engine.row import Emit, Row
from concordance_inference.engine.runner import ModelRunner
from concordance_inference.engine.sampler import sample
from concordance_inference.engine.score_memory import positions_that_fit
from concordance_inference.engine.scores import Scores
from concordance_inference.generation import Failed, GenerationRequest


class Engine:
    """Runs requests together, one step at a time.

    A step samples the next token of every row that can have one, but sees the tokens that the
    step before it sampled: while the device computes this step's forward pass, the mods are told
    of the last step's tokens. If they leave them alone, which is the common case, nothing was
    lost; if one acts, its row's pass is thrown away.
    """

    def __init__(self, runner: ModelRunner, traits: ModelTraits, config: EngineConfig) -> None:
        """Make an engine without requests."""
        self._runner = runner
        self._traits = traits
        self._config = config
        self._waiting: deque[tuple[GenerationRequest, Emit]] = deque()
        self._batch = BatchState()
        row_bytes = 4 * traits.vocab_size  # float32
        self._remembers = positions_that_fit(config.max_rows, row_bytes)

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._waiting or self._batch.rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The requests that run, in the batch's order."""
        return tuple(self._batch.rows)

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Take a request; `emit` is called, on this thread, with its updates."""
        self._waiting.append((request, emit))

    def cancel(self, request_id: str) -> None:
        """End a request, wherever it is; one that is not there has ended already."""
        for request, emit in [w for w in self._waiting if w[0].request_id == request_id]:
            self._waiting.remove((request, emit))
            emit(Failed(error=EngineStoppedError("the request was cancelled while it waited")))
        for row in self._batch.rows:
            if row.request.request_id == request_id and not row.is_concluded:
                row.cancel()
                row.conclude()

    def step(self) -> None:
        """Run one step."""
        self._admit()
        if self._batch.rows:
            if any(row.is_cautious for row in self._batch.rows):
                self._see_sampled()
            plan = self._plan()
            scores = self._forward(plan)
            self._decide(scores)
            self._settle()

    def fail_all(self, error: EngineError) -> None:
        """End every request with an error and begin anew, with empty caches."""
        waiting, rows = self._waiting, self._batch.rows
        self._waiting, self._batch = deque(), BatchState()
        self._runner.cache.rebuild((), 0)
        for _, emit in waiting:
            emit(Failed(error=error))
        for row in rows:
            if not row.is_concluded:
                row.fail(error)
                row.conclude()

    # The phases

    def _admit(self) -> None:
        """Drop the rows that have ended and take waiting requests into free ones."""
        rows = self._batch.rows
        keep = [i for i, row in enumerate(rows) if not row.state.is_finished]
        new: list[Row] = []
        while self._waiting and len(keep) + len(new) < self._config.max_rows:
            row = self._begin(*self._waiting.popleft())
            if row:
                new.append(row)
        if new or len(keep) < len(rows):
            self._batch = self._batch.changed(keep, new)
            self._runner.cache.rebuild(keep, len(new))

    def _begin(self, request: GenerationRequest, emit: Emit) -> Row | None:
        """Make the row of a request; `None` if its mods ended it before it began."""
        try:
            row = Row(request, self._traits, emit, remembers=self._remembers)
        except ModError as exc:
            emit(Failed(error=exc))
            return None
        row.begin()
        if row.state.is_finished:
            row.conclude()
            return None
        return row

    def _plan(self) -> StepPlan:
        """Go back where tokens were taken back, and decide what each row reads."""
        for i, row in enumerate(self._batch.rows):
            state = row.state
            state.num_cached = self._runner.cache.rewind(i, row.reusable)
        return plan_step([row.unread for row in self._batch.rows], chunk=self._config.chunk)

    def _forward(self, plan: StepPlan) -> Scores | None:
        """Launch the forward passes and book what they read."""
        scores = self._runner.forward(plan, self._batch.sampled) if plan.lanes else None
        rows = self._batch.rows
        for lane in plan.lanes:
            for read in lane.reads:
                rows[read.row].count_read(read.num_tokens)
        scores = self._with_recalled(scores)
        for i in scores.rows if scores else ():
            rows[i].remember((scores, i))
        return scores

    def _with_recalled(self, scores: Scores | None) -> Scores | None:
        """The scores of this step, with those that rows went back to and that are remembered."""
        recalled: dict[int, mx.array] = {}
        for i, row in enumerate(self._batch.rows):
            if (remembered := row.recalled_scores) is not None:
                then, at = remembered
                recalled[i] = then.of_row(at)
                row.count_recalled()
        if not recalled:
            return scores
        return scores.with_rows(recalled) if scores else Scores.of_rows(recalled, len(self.rows))

    def _decide(self, scores: Scores | None) -> None:
        """See what the last step sampled, ask the mods, and sample the next tokens.

        Where no mod has to be asked about logits, sampling is launched first, so that the device
        has its next tokens before the host has looked at the last ones.
        """
        if scores is None:
            self._see_sampled()
            self._batch.sampled = None
            return
        rows = self._batch.rows
        if any(rows[i].steering.listens_to_logits for i in scores.rows):
            mx.async_eval(scores.logits)
            self._see_sampled()
            at_hand = [i for i in scores.rows if rows[i].is_at_hand]
            at_hand, sampled = self._steer_and_sample(at_hand, scores.logits)
        else:
            sampled = sample(scores.logits, self._batch.sampling, self._batch.draws())
            mx.async_eval(sampled)
            self._see_sampled()
            at_hand = [i for i in scores.rows if rows[i].is_at_hand]
        for i in at_hand:
            rows[i].is_pending = True
        self._batch.sampled = sampled

    def _see_sampled(self) -> None:
        """Wait for the last step's tokens and hand them to their rows."""
        pending = [row for row in self._batch.rows if row.is_pending]
        if not pending:
            return
        assert self._batch.sampled is not None
        token_ids = cast(list[int], self._batch.sampled.tolist())  # the one place a step waits
        for row, token_id in zip(self._batch.rows, token_ids, strict=True):
            if row.is_pending:
                row.take_sampled(token_id)

    def _steer_and_sample(
        self, at_hand: Sequence[int], logits: mx.array
    ) -> tuple[list[int], mx.array | None]:
        """Ask the mods about each row's next position, then sample where they left it to us.

        Returns:
            The rows whose token is sampled, and the tokens of the batch, (rows,) int32.
        """
        chosen: dict[int, LogitsRow] = {}
        for i in at_hand:
            steered = self._batch.rows[i].steer_logits(LogitsRow(logits[i]))
            if steered is not None:
                chosen[i] = steered
        if not chosen:
            return [], None
        if any(self._batch.rows[i].is_adjusted for i in chosen):
            by_row = [chosen[i].row if i in chosen else logits[i] for i in range(logits.shape[0])]
            logits = mx.stack(by_row)
        temperature = self._temperature(chosen)
        draws = self._batch.draws() if temperature is None else self._all_draws()
        sampled = sample(logits, self._batch.sampling, draws, temperature)
        mx.async_eval(sampled)
        return list(chosen), sampled

    def _temperature(self, chosen: dict[int, LogitsRow]) -> mx.array | None:
        """The temperature of each row, if a mod set one.  (rows,)"""
        if all(row.token_temp is None for row in chosen.values()):
            return None
        own = [row.request.sampling.temperature for row in self._batch.rows]
        for i, row in chosen.items():
            own[i] = own[i] if row.token_temp is None else row.token_temp
        return mx.array(own)

    def _all_draws(self) -> mx.array:
        return mx.array([row.draw() for row in self._batch.rows])

    def _settle(self) -> None:
        """Tell the clients what is new, and end what has ended."""
        for row in self._batch.rows:
            if row.state.is_finished:
                row.conclude()
            else:
                row.report()
