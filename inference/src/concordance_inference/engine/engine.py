"""The execute loop. Belongs to one thread: it builds, owns and runs all that is on the device."""

import time
from collections.abc import Sequence

import mlx.core as mx
from concordance_shared import EngineError

from concordance_inference.engine.batch.batch import BatchState
from concordance_inference.engine.batch.logprob_queue import (
    LogprobQueue,
    SampledTokens,
    score_sampled,
)
from concordance_inference.engine.batch.step_logits import StepLogits, gather
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.metrics import Metrics, MetricsSnapshot
from concordance_inference.engine.model.device import default_chunk
from concordance_inference.engine.model.memory import MemoryPolicy
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.phases import Phase, Watcher
from concordance_inference.engine.plan import StepPlan
from concordance_inference.engine.planner import plan_step
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.sampling.adjustments import apply_actions
from concordance_inference.engine.sampling.logits_row import LogitsRow
from concordance_inference.engine.sampling.row_ops import take_rows
from concordance_inference.engine.scheduling.admission import Admission
from concordance_inference.engine.scheduling.waiting_queue import ChunkSizer
from concordance_inference.generation import GenerationRequest


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
        self.traits = traits  # never changed: may be read from any thread
        self._batch = BatchState(traits)
        self._logprobs = LogprobQueue()
        self._metrics = Metrics()
        self._admission = Admission(runner, traits, config, self._metrics)
        self._memory = MemoryPolicy()
        self.watcher: Watcher | None = None  # called at each phase of a step
        self._pace = ChunkSizer(
            runner.profile.cost,
            max_chunk=config.chunk or default_chunk(),
            target_s=config.latency_target_s,
            learns=runner.profile.is_timed and _adapts(runner, config),
        )

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._admission.waiting or self._batch.rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The requests that run, in the batch's order."""
        return tuple(self._batch.rows)

    def metrics(self) -> MetricsSnapshot:
        """What was counted and timed so far. May be called from any thread."""
        return self._metrics.snapshot(
            running=len(self._batch.rows),
            waiting=len(self._admission.waiting),
            kv_bytes=self._runner.cache.num_bytes,
            prefix_bytes=self._admission.prefix_bytes,
        )

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Take a request; `emit` is called, on this thread, with its updates."""
        self._admission.submit(request, emit)

    def cancel(self, request_id: str) -> None:
        """End a request, wherever it is; one that is not there has ended already."""
        self._admission.cancel(request_id)
        for row in self._batch.rows:
            if row.request.request_id == request_id and not row.output.is_over:
                row.cancel()
                self._admission.conclude(row)

    def step(self) -> None:
        """Run one step."""
        start = time.monotonic()
        self._admit()
        if self._batch.rows:
            self._logprobs.tell()
            if self._should_see_first():
                self._see_sampled()
            plan = self._plan()
            scores = self._forward(plan)
            self._decide(scores)
            self._settle()
            self._pace.learn(plan, time.monotonic() - start)

    def fail_all(self, error: EngineError) -> None:
        """End every request with an error and begin anew, with empty caches.

        An error of the device may be raised later than in the pass that caused it, so nothing that
        was computed before is used again.
        """
        rows = self._batch.rows
        self._batch, self._logprobs = BatchState(self.traits), LogprobQueue()
        self._runner.reset()
        self._admission.fail_all(error)
        for row in rows:
            if not row.output.is_over:
                row.fail(error)
                self._admission.conclude(row)

    # The phases

    def _admit(self) -> None:
        """Drop the rows that have ended and take waiting requests into free ones."""
        rows, admission = self._batch.rows, self._admission
        stays = [not (row.is_over or row.has_outgrown) for row in rows]
        keep = compacted(stays)
        for i, row in enumerate(rows):
            if not stays[i]:
                admission.keep(i, row)
                if row.may_hold_nan:
                    self._runner.cache.clean(i)
            if row.has_outgrown:
                admission.wait_again(row)
        new = admission.next_rows([rows[i] for i in keep])
        if not new and len(keep) == len(rows):
            return
        if new:
            self._memory.before_admission()
        self._batch = self._batch.changed(keep, new)
        longest = max((row.max_length for row in self._batch.rows), default=0)
        self._runner.cache.rebuild(keep, len(new), longest=longest)
        admission.make_room(self._batch.rows)
        for i in range(len(keep), len(self._batch.rows)):
            admission.settle(i, self._batch.rows)
        if not self._batch.rows:
            self._memory.between_requests()

    def _should_see_first(self) -> bool:
        """Whether to wait for the last step's tokens before the next pass is launched.

        Not waiting keeps the device busy for all rows; waiting saves the pass of those whose mods
        often act.
        """
        pending = [row for row in self._batch.rows if row.is_pending]
        return 2 * sum(row.is_cautious for row in pending) > len(pending)

    def _plan(self) -> StepPlan:
        """Go back where tokens were taken back, and decide what each row reads."""
        for i, row in enumerate(self._batch.rows):
            self._logprobs.tell_remembered(row)
            reusable = row.reusable
            held = self._runner.cache.rewind(i, reusable)
            if held != row.state.num_cached:
                row.go_back(held, reusable)
        rows, profile = self._batch.rows, self._runner.profile
        unread = [row.unread for row in rows]
        for row, known in zip(rows, unread, strict=True):
            if row.is_stuck(known):
                row.fail(_stuck(row))
        chunk = self._pace.chunk(unread)
        return plan_step(unread, chunk=chunk, sharing=profile.sharing, cost=profile.cost)

    def _forward(self, plan: StepPlan) -> StepLogits | None:
        """Launch the forward passes and book what they read."""
        sampled = self._batch.sampled and self._batch.sampled.token_ids
        scored = self._runner.forward(plan, sampled) if plan.passes else []
        for pass_ in plan.passes:
            for read in pass_.reads:
                row = self._batch.rows[read.row]
                row.count_read(read.num_tokens)
                self._metrics.count_read(row.state, read.start, read.num_tokens)
        self._metrics.steps += 1
        self._metrics.passes += len(plan.passes)
        scores, known = gather(self._batch.rows, scored)
        for some in known:
            self._logprobs.launch(some)
        return scores

    def _decide(self, scores: StepLogits | None) -> None:
        """See what the last step sampled, ask the mods, and sample the next tokens.

        Where no mod has to be asked about logits, sampling is launched first, so that the device
        has its next tokens before the host has looked at the last ones.
        """
        if scores is None:
            self._see_sampled()
            self._batch.sampled = None
            return
        rows = self._batch.rows
        wanted = self._batch.wanted(scores.logits, scores.rows)
        if any(rows[i].dispatch.listens_to_logits for i in scores.rows):
            mx.async_eval(wanted)
            self._see_sampled()
            sampled, left_to_us = self._steer_and_sample(scores, wanted)
        else:
            sampled = self._sample(scores, wanted)
            self._see_sampled()
            left_to_us = [i for i in scores.rows if rows[i].is_at_hand]
        for i in left_to_us:
            rows[i].is_pending = True
        self._batch.sampled = sampled

    def _see_sampled(self) -> None:
        """Wait for the last step's tokens and hand them to their rows."""
        rows, sampled = self._batch.rows, self._batch.sampled
        if sampled is None or not any(row.is_pending for row in rows):
            return
        self._reach(Phase.LAUNCHED)
        token_ids = sampled.read()  # the one wait of a step
        self._reach(Phase.WAITED)
        for row, token_id in zip(rows, token_ids, strict=True):
            if row.is_pending:
                index = row.state.num_completion
                row.take_sampled(token_id)
                if entry := sampled.logprobs_of(row):
                    row.output.take_logprobs(index, entry)
        self._reach(Phase.TOLD)

    def _reach(self, phase: Phase) -> None:
        if self.watcher:
            self.watcher(phase)

    def _steer_and_sample(
        self, scores: StepLogits, wanted: mx.array
    ) -> tuple[SampledTokens | None, Sequence[int]]:
        """Ask the mods about each row's next position, and sample where they left it to us.

        Returns:
            What was sampled, and the rows whose token that is.
        """
        rows = self._batch.rows
        steered: dict[int, LogitsRow] = {}
        for i, row in enumerate(scores.rows):
            if rows[row].is_at_hand:
                left = rows[row].steer_logits(LogitsRow(wanted, i, existing=self._batch.existing))
                if left is not None:
                    steered[i] = left
        if not steered:
            return None, ()
        left_to_us = scores.some(list(steered))
        wanted = take_rows(wanted, list(steered))
        pairs = zip(left_to_us.rows, steered.values(), strict=True)
        temperatures = {row: left.token_temp for row, left in pairs if left.token_temp is not None}
        steered_scores = apply_actions(wanted, [left.actions for left in steered.values()])
        return self._sample(left_to_us, steered_scores, temperatures), left_to_us.rows

    def _sample(
        self,
        scores: StepLogits,
        wanted: mx.array,
        temperatures: dict[int, float] | None = None,
    ) -> SampledTokens:
        """Launch the sampling of some rows.

        Args:
            scores: The model's own scores of them.
            wanted: What they are sampled from.  (scored rows, vocab) float32
            temperatures: By row, where a mod set one.
        """
        batch = self._batch
        token_ids = batch.sample(wanted, scores.rows, temperatures)
        spread = batch.spread(token_ids, scores.rows)
        mx.async_eval(spread)
        rows = [batch.rows[row] for row in scores.rows]
        return SampledTokens(spread, *score_sampled(scores.logits, token_ids, rows))

    def _settle(self) -> None:
        """Tell the clients what is new, and end what has ended."""
        now = time.monotonic()
        for row in self._batch.rows:
            row.clock.see(row.state.num_completion + row.state.num_taken_back, now)
            if row.is_over and not row.output.is_over:
                self._admission.conclude(row)
            elif not row.state.is_finished:
                row.output.report()


def _adapts(runner: ModelRunner, config: EngineConfig) -> bool:
    """Whether the size of chunks may follow from what steps take.

    In 16 bits, other chunks give other logits, and a request would not say the same twice.
    """
    if config.adaptive_chunks is None:
        return not runner.computes_in_16_bit
    return config.adaptive_chunks


def _stuck(row: Row) -> EngineError:
    return EngineError(
        f"request {row.request.request_id!r} has nothing to process and nothing to sample at step "
        f"{row.state.num_completion}, which is a fault of the engine; please report it"
    )


def compacted(stays: Sequence[bool]) -> list[int]:
    """The rows that stay, in an order in which each stays in place or fills a gap before it."""
    keep = [i for i, stay in enumerate(stays) if stay]
    order = list(keep)
    gaps = [i for i in range(len(keep)) if not stays[i]]
    for gap in gaps:
        order.insert(gap, order.pop())
    return order
