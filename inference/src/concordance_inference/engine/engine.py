"""The execute loop. Belongs to one thread, which builds, owns and runs everything on the device."""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import cast

import mlx.core as mx
from concordance_shared import EngineError, FinishReason
from msgspec import Struct

from concordance_inference.engine.batch.batch import BatchState
from concordance_inference.engine.batch.logprob_queue import LogprobQueue
from concordance_inference.engine.batch.sampled_tokens import (
    SampledFrom,
    SampledTokens,
    launch_logprobs,
)
from concordance_inference.engine.batch.step_logits import StepLogits, sort_logits
from concordance_inference.engine.batch.trace_queue import TraceQueue, launch_traced
from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.control.live import LiveControl
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.model.calibration.profile import ModelProfile
from concordance_inference.engine.model.device import default_chunk
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.parking.parking import Parking
from concordance_inference.engine.plan import StepPlan
from concordance_inference.engine.planner import plan_step
from concordance_inference.engine.request.ended import OnEnd
from concordance_inference.engine.request.late_calls import reads_logits
from concordance_inference.engine.request.row import Row, takes_token
from concordance_inference.engine.request.row_trace import record_pass
from concordance_inference.engine.sampling.adjustments import apply_actions
from concordance_inference.engine.sampling.given_rows import GivenRows
from concordance_inference.engine.sampling.logits_row import LogitsRow
from concordance_inference.engine.sampling.missing import without_missing
from concordance_inference.engine.sampling.row_ops import take_rows
from concordance_inference.engine.scheduling.admission import Admission, own_copy
from concordance_inference.engine.scheduling.chunk_sizer import ChunkSizer
from concordance_inference.generation import GenerationRequest
from concordance_inference.metrics_snapshot import MetricsSnapshot


class Phase(StrEnum):
    """A moment of a step, in order."""

    LAUNCHED = "launched"  # the device has work: a forward pass, and usually the sampling
    WAITED = "waited"  # the tokens of the previous step have arrived
    DISPATCHED = "dispatched"  # the mods have seen them


Watcher = Callable[[Phase], None]


class EngineInspection(Struct, frozen=True, kw_only=True):
    """The state of an engine, for tests and benchmarks. Read it on the engine's thread."""

    rows: tuple[Row, ...]  # running requests, in the order of the batch
    metrics: MetricsSnapshot
    profile: ModelProfile
    budget: KvBudget
    learns_chunk_size: bool  # the measured time of steps corrects the size of chunks


class Engine:
    """Runs requests together, one step at a time.

    A step launches a forward pass over the tokens that the step before sampled, before the host
    has seen them. While the device computes, the host dispatches these tokens to the mods. If the
    mods leave them unchanged, which is the common case, their time is hidden; if one acts, the
    pass of its row is discarded (`Speculation`).
    """

    def __init__(
        self,
        runner: ModelRunner,
        traits: ModelTraits,
        config: EngineConfig,
        on_end: OnEnd | None = None,
    ) -> None:
        """Create an engine without requests.

        Args:
            runner: Runs the model.
            traits: The model's.
            config: The limits.
            on_end: Receives what it takes to continue a completion that has ended.
        """
        self._runner = runner
        self.traits = traits  # immutable: may be read from any thread
        self._num_candidates = config.num_candidates
        self._kv_limit_bytes = config.kv_bytes
        self._batch = BatchState(traits, num_candidates=config.num_candidates)
        self._logprobs = LogprobQueue()
        self._traces = TraceQueue()
        self._given = GivenRows(
            partial(without_missing, vocab_size=traits.vocab_size, missing=traits.missing_ids)
        )
        self._metrics = Metrics()
        self._parking = Parking()
        self._admission = Admission(runner, traits, config, self._metrics, self._parking, on_end)
        self.control = LiveControl(self._admission, traits.tokenizer, config)
        self.watcher: Watcher | None = None  # called at each phase of a step
        self._learns_chunk_size = runner.profile.is_timed and _adapts(runner, config)
        self._chunk_sizer = ChunkSizer(
            runner.profile.cost,
            max_chunk=config.chunk or default_chunk(),
            target_s=config.latency_target_s,
            learns=self._learns_chunk_size,
        )

    @property
    def has_work(self) -> bool:
        """True if requests wait or run."""
        return bool(self._admission.num_waiting or self._batch.rows or self._parking)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The running requests, in the order of the batch."""
        return tuple(self._batch.rows)

    def metrics(self) -> MetricsSnapshot:
        """Return counts and times so far. May be called from any thread."""
        return self._metrics.snapshot(
            running=len(self._batch.rows),
            waiting=self._admission.num_waiting,
            parked=len(self._parking),
            kv_bytes=self._runner.cache.num_bytes,
            prefix_bytes=self._admission.prefix_bytes,
            kv_limit_bytes=self._kv_limit_bytes,
        )

    def inspect(self) -> EngineInspection:
        """Return the state of the engine, without changing it."""
        return EngineInspection(
            rows=self.rows,
            metrics=self.metrics(),
            profile=self._runner.profile,
            budget=self._admission.budget,
            learns_chunk_size=self._learns_chunk_size,
        )

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Queue a request; `emit` is called with its updates, on this thread."""
        self._admission.submit(request, emit, num_running=len(self._batch.rows))

    def cancel(self, request_id: str) -> None:
        """End a waiting or running request; an unknown id has already ended."""
        self._admission.cancel(request_id)
        for row in self._batch.rows:
            if row.request.request_id == request_id and not row.is_concluding:
                row.state.finish(FinishReason.CANCELLED)
                self._admission.conclude(row)

    def step(self) -> None:
        """Run one step."""
        self._parking.collect(is_idle=all(row.calls.is_parked for row in self._batch.rows))
        self._traces.take_answered()
        start = time.monotonic()
        self._batch = self._admission.update(self._batch)
        if self._batch.rows:
            self._logprobs.deliver()
            if self._should_wait_for_mods():
                self._dispatch_sampled()
            self._rewind()
            plan = self._plan()
            logits = self._forward(plan)
            self._sample_next(logits)
            self._report()
            self._chunk_sizer.learn(plan, time.monotonic() - start)

    def fail_all(self, error: EngineError) -> None:
        """End every request with an error, and start over with empty caches.

        The device may raise an error later than in the pass that caused it, so nothing that was
        computed before is used again.
        """
        rows = self._batch.rows
        self._batch = BatchState(self.traits, num_candidates=self._num_candidates)
        self._logprobs = LogprobQueue()
        self._traces = TraceQueue()
        self._runner.reset()
        self._admission.fail_all(error)
        for row in rows:
            if not row.is_concluding:
                row.mods.close()  # those in other processes are not waited for
                row.state.fail(own_copy(error))
                self._admission.conclude(row)
        self._parking.close()  # of requests whose end is not answered yet

    # The phases of a step

    def _should_wait_for_mods(self) -> bool:
        """True if the mods should see the last tokens before the next pass is launched.

        Launching first keeps the device busy for all rows; waiting saves the passes of rows whose
        mods often act. The majority of the rows decides, since they share the pass.
        """
        pending = [row.speculation for row in self._batch.rows if takes_token(row)]
        return 2 * sum(speculation.backoff.is_on for speculation in pending) > len(pending)

    def _rewind(self) -> None:
        """Rewind the KV cache of rows whose last tokens changed or have to be processed again."""
        for i, row in enumerate(self._batch.rows):
            if row.calls.is_parked:
                continue
            if row.output.logprobs:
                self._logprobs.deliver_remembered(row)  # first: more tokens are reusable after it
            if row.speculation.is_in_step or row.output.is_concluded:
                continue
            reusable = row.speculation.reusable_len
            num_cached = self._runner.cache.rewind(i, reusable)
            if num_cached != row.state.num_cached:
                row.speculation.rewound(num_cached, reusable)

    def _plan(self) -> StepPlan:
        """Decide which tokens each row processes."""
        rows, profile = self._batch.rows, self._runner.profile
        demands = [row.demand for row in rows]
        for row, demand in zip(rows, demands, strict=True):
            if not row.calls.is_parked and row.speculation.is_stuck(demand):
                row.state.fail(_stuck(row))
        chunk = self._chunk_sizer.chunk(demands)
        return plan_step(demands, chunk=chunk, sharing=profile.sharing, cost=profile.cost)

    def _forward(self, plan: StepPlan) -> StepLogits | None:
        """Launch the forward passes; return the logits of next positions, if any."""
        sampled = self._batch.sampled and self._batch.sampled.token_ids
        pass_logits = self._runner.forward(plan, sampled) if plan.passes else []
        for pass_ in plan.passes:
            for read in pass_.reads:
                row = self._batch.rows[read.row]
                row.speculation.processed(read.num_tokens)
                self._metrics.count_read(row.state, read.start, read.num_tokens)
                if row.tracer is not None:
                    rows = len(self._batch.rows)
                    record_pass(row, read, step=self._metrics.steps, rows=rows)
        self._metrics.steps += 1
        self._metrics.passes += len(plan.passes)
        logits, known = sort_logits(self._batch.rows, pass_logits)
        for known_logits in known:
            self._logprobs.launch(known_logits)
        return logits

    def _sample_next(self, logits: StepLogits | None) -> None:
        """Dispatch the last step's tokens to the mods, and sample the next ones.

        The order depends on whether a mod handles `ForwardPass`. `t` is the token that the last
        step sampled, L the logits that follow it, computed by the pass just launched:

            no mod handles ForwardPass          a mod does
            1. launch sampling from L           1. launch L
            2. wait for t, dispatch it          2. wait for t, dispatch it
                                                3. wait for L, dispatch L
                                                4. launch sampling from L

        On the left the device has its next work queued while the mods run. If a mod then replaces
        t, the token sampled from L is dropped (`logits_are_current`). On the right this is
        impossible: a mod expects `Added` for t before `ForwardPass` for L, and may adjust L.
        """
        self._given.separate_kept()
        if logits is None:
            self._dispatch_sampled()
            self._batch.sampled = None
            return
        rows = self._batch.rows
        penalized = self._batch.penalized(logits.logits, logits.rows)
        if any(reads_logits(rows[i]) for i in logits.rows):
            mx.async_eval(penalized)
            self._dispatch_sampled()
            sampled, sampled_rows = self._dispatch_logits_and_sample(logits, penalized)
        else:
            sampled = self._sample(logits, penalized)
            self._dispatch_sampled()
            # A command may have added a mod that has to see the logits first, or reads logprobs.
            sampled_rows = [
                i for i in logits.rows if rows[i].accepts_logits and not reads_logits(rows[i])
            ]
            if any(rows[i].dispatch.listens_to_sampled for i in sampled_rows):
                sampled.source = SampledFrom(logits.logits, [rows[i] for i in logits.rows])
        for i in sampled_rows:
            rows[i].speculation.mark_pending()
        self._batch.sampled = sampled

    def _dispatch_sampled(self) -> None:
        """Wait for the last step's tokens and dispatch them to the mods."""
        rows, sampled = self._batch.rows, self._batch.sampled
        if sampled is None or not any(map(takes_token, rows)):
            return
        self._notify_watcher(Phase.LAUNCHED)
        token_ids = sampled.read()  # the only wait of a step, unless a mod reads logits
        self._notify_watcher(Phase.WAITED)
        self._traces.deliver()
        traced = sampled.traced
        num_draws = traced.num_draws if traced else ()
        for row, token_id in zip(rows, token_ids, strict=True):
            if takes_token(row):
                reads = row.dispatch.listens_to_sampled
                read_logprob = partial(sampled.read_logprob, row, token_id) if reads else None
                entry = sampled.logprobs_of(row) if row.output.logprobs else None
                row.calls.run(row.take_sampled, token_id, read_logprob, entry)
        self._parking.collect()
        if traced:
            self._traces.take(traced, num_draws)
        self._notify_watcher(Phase.DISPATCHED)

    def _notify_watcher(self, phase: Phase) -> None:
        if self.watcher:
            self.watcher(phase)

    def _dispatch_logits_and_sample(
        self, logits: StepLogits, penalized: mx.array
    ) -> tuple[SampledTokens | None, Sequence[int]]:
        """Dispatch each row's logits to its mods, and sample the rows for which none decided.

        Returns:
            The sampled tokens, and the rows they belong to.
        """
        rows = self._batch.rows
        if any(rows[i].prompt_logprobs.is_needed for i in logits.rows):
            self._logprobs.deliver()  # those of the prompt's last chunk
        unread = self._given.unread(penalized)
        traced = {
            i: (rows[row], rows[row].state.num_completion, rows[row].state.num_backtracked)
            for i, row in enumerate(logits.rows)
            if rows[row].tracer is not None
        }
        asked = [i for i, row in enumerate(logits.rows) if reads_logits(rows[row])]
        after_mods = {  # by index into `logits`
            i: rows[row].calls.ask(rows[row].dispatch_logits, self._given.give(penalized, i))
            if i in asked
            else unread
            for i, row in enumerate(logits.rows)
            if rows[row].accepts_logits
        }
        self._parking.collect()
        for i in after_mods:
            row = rows[logits.rows[i]]
            if row.mods.may_park and i in asked:
                after_mods[i] = cast(LogitsRow | None, row.calls.take_answer())
        to_sample = {i: given for i, given in after_mods.items() if given is not None}
        if traced:
            decided = {i: traced[i] for i in traced if i in after_mods and i not in to_sample}
            for i in [i for i in decided if rows[logits.rows[i]].calls.is_parked]:
                self._traces.await_answer(take_rows(logits.logits, [i]), decided.pop(i))
            self._traces.take_forced(logits.logits, decided)
        if not to_sample:
            return None, ()
        remaining = logits.select(list(to_sample))
        temperatures = {
            row: adjusted_row.token_temp
            for row, adjusted_row in zip(remaining.rows, to_sample.values(), strict=True)
            if adjusted_row.actions and adjusted_row.token_temp is not None
        }
        adjusted_logits = apply_actions(
            take_rows(penalized, list(to_sample)), [given.actions for given in to_sample.values()]
        )
        return self._sample(remaining, adjusted_logits, temperatures), remaining.rows

    def _sample(
        self,
        logits: StepLogits,
        adjusted_logits: mx.array,
        temperatures: dict[int, float] | None = None,
    ) -> SampledTokens:
        """Launch sampling.

        Args:
            logits: The model's, for logprobs.
            adjusted_logits: After penalties and mods, to sample from.  (rows of `logits`, vocab)
                float32
            temperatures: By row of the batch, where a mod set one.
        """
        batch = self._batch
        legal = batch.legal(adjusted_logits, logits.rows)
        token_ids, sampled_logprobs = batch.sample(legal, logits.rows, temperatures)
        in_batch_order = batch.in_batch_order(token_ids, logits.rows)
        mx.async_eval(in_batch_order)
        rows = [batch.rows[row] for row in logits.rows]
        source = SampledFrom(logits.logits, rows)
        is_kept = any(row.dispatch.listens_to_sampled for row in rows)
        return SampledTokens(
            in_batch_order,
            *launch_logprobs(source, token_ids, sampled_logprobs),
            source=source if is_kept else None,
            traced=launch_traced(logits.logits, legal, token_ids, rows),
        )

    def _report(self) -> None:
        """Send updates to clients, and conclude requests that have ended."""
        now = time.monotonic()
        ended: list[Row] = []
        for row in self._batch.rows:
            if row.calls.is_parked:  # nothing is decided until its mods have answered
                continue
            state = row.state
            num_new = state.num_completion - state.num_begun
            row.clock.see(num_new + state.num_backtracked, now)
            if not state.is_finished:
                row.output.report()
            elif not row.output.is_concluded and row.is_over:
                ended.append(row)
        if any(row.tracer is not None for row in ended):
            self._traces.deliver()
        # Of choices of one request that fail in one step, the client gets the error of the first.
        for row in sorted(ended, key=lambda row: row.clock.submitted_at):
            self._admission.conclude(row)


def _adapts(runner: ModelRunner, config: EngineConfig) -> bool:
    """Return the configured choice; by default chunk sizes are fixed in 16-bit precision.

    There, other chunks round to other logits, and a request would not be reproducible.
    """
    if config.adaptive_chunks is None:
        return not runner.computes_in_16_bit
    return config.adaptive_chunks


def _stuck(row: Row) -> EngineError:
    return EngineError(
        f"request {row.request.request_id!r} has nothing to process and nothing to sample at "
        f"position {row.state.num_completion}, which is a bug in the engine; please report it"
    )
