"""Which requests run: the queue, and a row's life in the caches from admission to its end."""

import copy
import time
from collections.abc import Sequence
from functools import partial

from concordance_shared import (
    ConcordanceError,
    ContextLengthError,
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
    FinishReason,
    InvalidRequestError,
    RequestError,
)
from msgspec.structs import replace

from concordance_inference.engine.batch.batch import BatchState
from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.model.memory import MemoryPolicy
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.parking.parking import Parking
from concordance_inference.engine.request.ended import OnEnd, ended_completion
from concordance_inference.engine.request.instances import close_instances
from concordance_inference.engine.request.recent_logits import positions_that_fit
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.scheduling.owner_turns import Place
from concordance_inference.engine.scheduling.prefix_reuse import PrefixReuse
from concordance_inference.engine.scheduling.queue_limits import QueueLimits
from concordance_inference.engine.scheduling.waiting_queue import Waiting, WaitingQueue
from concordance_inference.generation import Failed, GenerationRequest

_UNLIMITED = 2**62


class Admission:
    """Owns the queue, the prefix cache and the memory budget, and moves requests into rows.

    `update` is all that the engine calls in a step:

        batch        A  B  C  D         B has ended, C has outgrown its memory
        retire       keep B's prefix and C's, put C back into the queue
        compact      A  D               D moves into B's slot: one copy
        admit        A  D  E  F         E and F come from the queue, if they fit
        restore      copy the longest cached prefix into E and F, and pin what to keep of them
    """

    def __init__(
        self,
        runner: ModelRunner,
        traits: ModelTraits,
        config: EngineConfig,
        metrics: Metrics,
        parking: Parking,
        on_end: OnEnd | None = None,
    ) -> None:
        """Start with an empty queue and an empty prefix cache; see `Engine`."""
        self._parking = parking
        self._on_end = on_end
        self._cache = runner.cache
        self._metrics = metrics
        self._traits = traits
        self._memory = MemoryPolicy()
        kv_bytes = _UNLIMITED if config.kv_bytes is None else config.kv_bytes
        self.budget = KvBudget(
            runner.profile.footprint,
            max_bytes=kv_bytes,
            max_rows=config.max_rows,
            context_length=traits.context_length,
        )
        self._cache.limit_past(self.budget.past_bytes)
        prefix_bytes = kv_bytes // 4 if config.prefix_bytes is None else config.prefix_bytes
        self._prefixes = PrefixReuse(
            runner.cache,
            max_bytes=prefix_bytes,
            token_bytes=runner.profile.footprint.per_token,
        )
        self._max_recent = positions_that_fit(config.max_rows, 4 * traits.vocab_size)
        self.queue = WaitingQueue(self.budget, max_rows=config.max_rows)
        self._limits = QueueLimits(self.queue, config, metrics)

    @property
    def num_waiting(self) -> int:
        """Requests in the queue."""
        return len(self.queue)

    @property
    def prefix_bytes(self) -> int:
        """Bytes of the prefixes of earlier requests."""
        return self._prefixes.num_bytes

    def submit(self, request: GenerationRequest, emit: Emit, *, num_running: int = 0) -> None:
        """Queue a request, or report an error if it can never run, or may not wait."""
        try:
            self.queue.check(request)
            _check_ids(request.prompt_ids, self._traits.vocab_size)
            self._limits.check(request, num_running=num_running)
        except (RequestError, EngineOverloadedError) as exc:
            close_instances(request)
            emit(Failed(error=exc))
        else:
            self.queue.submit(request, emit)

    def update(self, batch: BatchState) -> BatchState:
        """Retire rows that have ended and admit waiting requests; return the batch to run.

        If anything here raises, the requests that were taken from the queue are put back, so that
        `fail_all` ends them.
        """
        for waiting, error in self._limits.take_late():
            self._end(waiting, error)
        taken: list[Waiting] = []
        try:
            keep = self._retire(batch.rows)
            new = self._take_rows([batch.rows[i] for i in keep], taken)
            if not new and len(keep) == len(batch.rows):
                return batch
            if new:
                self._memory.before_admission()
            batch = batch.changed(keep, new)
            longest = max((row.state.max_length for row in batch.rows), default=0)
            self._cache.rebuild(keep, len(new), longest=longest)
            lengths = _lengths(batch.rows)
            if batch.rows and not self._cache.num_bytes:
                # For the requests that wait, too, so that they can join together: caches that hold
                # something are copied to grow.
                lengths = self.queue.with_fitting(lengths)
                self._cache.prepare(len(lengths), len(batch.rows[-1].state.token_ids))
            self._leave_room(lengths)
            for i in range(len(keep), len(batch.rows)):
                self._admit(i, batch.rows)
        except BaseException:
            for waiting in reversed(taken):
                self.queue.wait_again(waiting)
            raise
        if not batch.rows:
            self._memory.between_requests()
        return batch

    def _retire(self, rows: Sequence[Row]) -> list[int]:
        """Keep the prefixes of rows that leave; return the rows that stay, as `compacted` does.

        A row that has ended beside others stays until its prefix is copied, a part in each step.
        """
        stays = [not row.leaves_batch for row in rows]
        if all(stays):
            return list(range(len(rows)))
        is_alone = not any(stays)
        for i, row in enumerate(rows):
            if stays[i]:
                continue
            if not is_alone and row.is_over and self._prefixes.keep_part(i, row):
                stays[i] = True
            else:
                self._prefixes.keep(i, row)
                if row.may_hold_nan:
                    self._cache.clean(i)
            if row.has_outgrown:
                self._wait_again(row)
            elif not row.is_over:
                row.speculation.evicted()
                self.queue.pause(row)
        return compacted(stays)

    def _take_rows(self, running: Sequence[Row], taken: list[Waiting]) -> list[Row]:
        """Take requests from the queue that can run now, and let their mods see the prompt.

        A request for which the buffers have to grow much waits while they grow, a part in each
        step. What has left the queue and is not over is in `taken`.
        """
        new: list[Row] = []
        while (found := self._next([*running, *new])) is not None:
            waiting, place = found
            taken.append(waiting)
            row = self._begin(waiting, place, [*running, *new])
            if row is None:
                taken.pop()
                continue
            taken[-1] = replace(waiting, row=row)
            rows = [*running, *new, row]
            if len(rows) > 1 and not self._prepare(rows):
                self.queue.wait_again(taken.pop(), place)
                break
            new.append(row)
        return new

    def _next(self, rows: Sequence[Row]) -> tuple[Waiting, Place] | None:
        """Take the first request that fits beside these rows and need not wait for one of them.

        Returns:
            The request, and its place in the queue.
        """
        for waiting in self.queue.candidates([row.state.max_length for row in rows]):
            if not self._waits_for_prefill(waiting, rows):
                return waiting, self.queue.take(waiting)
        return None

    def _waits_for_prefill(self, waiting: Waiting, rows: Sequence[Row]) -> bool:
        """True if a row prefills what a request needs; the row pauses where their prompts part."""
        request, row = waiting.request, waiting.row
        if row is not None and row.admitted_length is not None:
            return False
        count_alike = partial(self.queue.count_alike, request)
        shared = self._prefixes.in_progress(rows, request, row, count_alike)
        if shared is None:
            return False
        other, length = shared
        other.stops.add(length)
        return True

    def _prepare(self, rows: Sequence[Row]) -> bool:
        """Grow the buffers by one step's part; return True once there is room for the last row."""
        self._leave_room(_lengths(rows))
        return self._cache.prepare(len(rows), len(rows[-1].state.token_ids))

    def _begin(self, waiting: Waiting, place: Place, rows: Sequence[Row]) -> Row | None:
        """Make a request's row; return None if the row has ended or has to wait again.

        Mods see the prompt first: they may replace it by one that does not fit, or by one that
        another row prefills.

        Args:
            waiting: The request.
            place: Its place in the queue, where it waits again.
            rows: The rows that run beside it.
        """
        row = waiting.row or self._new_row(waiting)
        if row is None:
            return None
        again = replace(waiting, row=row)
        if row.calls.is_parked:
            self.queue.wait_again(again, place)
            return None
        if row.is_paused:  # by a command that came while its mods were asked
            self.queue.pause(row)
            return None
        if row.is_over:
            self.conclude(row)
            return None
        lengths = [other.state.max_length for other in [*rows, row]]
        may_differ = waiting.row is None and bool(row.dispatch.mods)
        if not self.budget.fits(lengths) or (may_differ and self._waits_for_prefill(again, rows)):
            self.queue.wait_again(again, place)
            return None
        return row

    def _new_row(self, waiting: Waiting) -> Row | None:
        """Make a row and let its mods see the prompt; return None if a mod's `__init__` raised."""
        request = waiting.request
        length = self.budget.length_of(request.num_counted, request.max_tokens)
        budget = length - len(request.prompt_ids)
        try:
            row = Row(
                request,
                self._traits,
                waiting.emit,
                max_tokens=budget,
                max_recent=self._max_recent,
                clock=self._metrics.clock(waiting.since),
                parking=self._parking,
            )
        except ConcordanceError as exc:
            close_instances(request)
            waiting.emit(Failed(error=exc))
            return None
        self._metrics.count_admission(time.monotonic() - waiting.since)
        row.calls.run(_begin, row, self.budget)
        if row.calls.is_parked:
            row.calls.when_over(partial(self._conclude_waiting, row))
        return row

    def _wait_again(self, row: Row) -> None:
        """Put back a row that has outgrown the memory it was admitted for, or end it."""
        row.state.mark_processed(0)
        if row.state.max_length > self.budget.longest:
            row.state.fail(_output_too_long(row, self.budget.longest))
            self.conclude(row)
        else:
            self.queue.wait_again(Waiting(row.request, row.emit, time.monotonic(), row))

    def row_of(self, request_id: str) -> Row | None:
        """Return the row of a waiting or paused request, whose mods have seen the prompt then."""
        waiting = self.queue.find(request_id)
        if waiting is None or waiting.row is not None:
            return waiting and waiting.row
        row = self._new_row(waiting)
        if row is None:
            self.queue.remove(request_id)
            return None
        self.queue.put(waiting, row)
        return row

    def conclude(self, row: Row) -> None:
        """Notify a row's mods and its client that it has ended, once."""
        if row.is_concluding:
            return
        row.is_concluding = True
        row.calls.abandon()
        if self._on_end is not None:  # first: the client may continue the completion at once
            self._on_end(ended_completion(row))
        row.calls.run(_conclude, row, self._metrics)

    def _conclude_waiting(self, row: Row) -> None:
        """Conclude a row that late mods have ended at its prompt, although it waits for a slot."""
        if row.is_over and not row.is_concluding:
            self.queue.remove(row.request.request_id)
            self.conclude(row)

    def cancel(self, request_id: str) -> None:
        """End a request that waits; do nothing if it does not."""
        if waiting := self.queue.remove(request_id):
            error = EngineStoppedError("the request was cancelled while it waited")
            self._end(waiting, error, is_cancelled=True)

    def fail_all(self, error: EngineError) -> None:
        """End every request that waits with an error, and clear the prefix cache."""
        self._prefixes.clear()
        for waiting in self.queue.drain():
            self._end(waiting, error)

    def _end(self, waiting: Waiting, error: EngineError, *, is_cancelled: bool = False) -> None:
        row = waiting.row
        if row is None:
            close_instances(waiting.request)
            waiting.emit(Failed(error=own_copy(error)))
            return
        if is_cancelled:
            row.state.finish(FinishReason.CANCELLED)
        else:
            row.mods.close()
            row.state.fail(own_copy(error))
        self.conclude(row)

    def _admit(self, i: int, rows: Sequence[Row]) -> None:
        """Start a new row with the longest prefix that is held."""
        num_cached = self._prefixes.restore(i, rows)
        self._metrics.cached_tokens += num_cached
        rows[i].admit(num_cached)
        self._cache.reserve(len(rows[i].state.token_ids))

    def _leave_room(self, lengths: Sequence[int]) -> None:
        """Evict prefixes from the memory of rows that grow to these lengths."""
        grown = self.budget.bytes_of(lengths)
        taken = max(grown, self._cache.num_bytes)
        self._prefixes.limit(max(0, self.budget.max_bytes - taken))


def _begin(row: Row, budget: KvBudget) -> None:
    """Let a row's mods see the prompt. Fail a row that they make longer than memory allows."""
    row.begin()
    state, longest = row.state, budget.longest
    try:
        budget.check_prompt(state.given_len, param="the prompt of a mod")
    except ContextLengthError as exc:
        state.fail(exc)  # also where a budget of zero has ended it
        return
    if row.is_over:
        return
    if len(state.token_ids) > longest:
        state.fail(_output_too_long(row, longest))
    else:
        state.limit_tokens(longest - state.prompt_len)


def _conclude(row: Row, metrics: Metrics) -> None:
    row.conclude()
    seconds = time.monotonic() - row.clock.submitted_at
    beginning = row.request.beginning or row.request.branch
    metrics.count_end(
        row.state,
        row.mods.costs(),
        seconds=seconds,
        num_sampled_before=beginning.num_sampled if beginning else 0,
        num_forced_before=row.request.branch.num_forced if row.request.branch else 0,
    )


def _lengths(rows: Sequence[Row]) -> list[int]:
    """Return the lengths that rows can grow to."""
    return [row.state.max_length for row in rows]


def compacted(stays: Sequence[bool]) -> list[int]:
    """Return the rows that stay, in an order in which each keeps its place or fills a gap.

    Filling gaps from the end copies as few rows as there are gaps; closing up would copy every row
    after the first gap. Rows only move towards the front, where the slot is free:

        rows    0 1 2 3 4 5      1 and 2 have ended
        order   0 5 4 3          two copies; 0 3 4 5 would take three
    """
    keep = [i for i, stay in enumerate(stays) if stay]
    order = list(keep)
    gaps = [i for i in range(len(keep)) if not stays[i]]
    for gap in gaps:
        order.insert(gap, order.pop())
    return order


def own_copy(error: EngineError) -> EngineError:
    """Copy an error that ends several requests: each adds notes and a traceback to its own."""
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    return copied


def _check_ids(prompt_ids: Sequence[int], size: int) -> None:
    """Reject a prompt with a token that the model does not have.

    Raises:
        InvalidRequestError: The prompt has a token of the tokenizer that the model lacks.
    """
    if prompt_ids and (most := max(prompt_ids)) >= size:
        raise InvalidRequestError(
            f"messages: the prompt encodes to token id {most} at position "
            f"{prompt_ids.index(most)}, but the model has token ids 0 to {size - 1}; leave out "
            "the text of this token, or serve the model with the tokenizer it was trained with",
            param="messages",
        )


def _output_too_long(row: Row, longest: int) -> ContextLengthError:
    return ContextLengthError(
        f"a mod forced an output of {row.state.num_completion} tokens, and computing their "
        f"log-probabilities takes more than the {longest} tokens that the memory for caches holds; "
        "ask for no log-probabilities, or give the server more with --kv-memory"
    )
