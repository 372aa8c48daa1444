"""Puts requests into rows: looks up what they need not read, and what they can wait for."""

import time
from collections.abc import Sequence
from functools import partial

from concordance_shared import (
    ConcordanceError,
    ContextLengthError,
    EngineError,
    EngineStoppedError,
    InvalidRequestError,
    RequestError,
)
from msgspec.structs import replace

from concordance_inference.engine.caches.budget import KvBudget
from concordance_inference.engine.caches.prefix_cache import MIN_TOKENS, Prefix, PrefixCache
from concordance_inference.engine.caches.prefix_tree import num_common
from concordance_inference.engine.config import EngineConfig, ModelTraits
from concordance_inference.engine.metrics import Metrics
from concordance_inference.engine.model.runner import ModelRunner
from concordance_inference.engine.output.output_stream import Emit
from concordance_inference.engine.request.recent_logits import positions_that_fit
from concordance_inference.engine.request.row import Row
from concordance_inference.engine.scheduling.waiting_queue import Waiting, WaitingQueue
from concordance_inference.generation import Failed, GenerationRequest

#: A request waits for a prompt that is being read if it saves reading so many tokens.
_WORTH_WAITING = 64

#: So far before its end, reading a prompt pauses where layers have states: chat templates write
#: the last few tokens of a prompt otherwise when the answer stands behind it.
_TAIL = 16

_UNLIMITED = 2**62


class Admission:
    """Which requests run, what of their prompts is known, and what is kept of those that ran."""

    def __init__(
        self, runner: ModelRunner, traits: ModelTraits, config: EngineConfig, metrics: Metrics
    ) -> None:
        """Begin with nobody waiting and nothing known."""
        self._cache = runner.cache
        self._metrics = metrics
        self._traits = traits
        kv_bytes = _UNLIMITED if config.kv_bytes is None else config.kv_bytes
        self._budget = KvBudget(
            runner.profile.footprint,
            max_bytes=kv_bytes,
            max_rows=config.max_rows,
            context_length=traits.context_length,
        )
        self._cache.limit_past(self._budget.past_bytes)
        prefix_bytes = kv_bytes // 4 if config.prefix_bytes is None else config.prefix_bytes
        self._prefixes = PrefixCache(runner.cache, max_bytes=prefix_bytes)
        self._remembers = positions_that_fit(config.max_rows, 4 * traits.vocab_size)
        self.waiting = WaitingQueue(self._budget, max_rows=config.max_rows)

    def submit(self, request: GenerationRequest, emit: Emit) -> None:
        """Let a request wait, unless it can never run."""
        try:
            self.waiting.check(request)
            self._check_ids(request.prompt_ids)
        except RequestError as exc:
            emit(Failed(error=exc))
        else:
            self.waiting.submit(request, emit)

    def _check_ids(self, prompt_ids: Sequence[int]) -> None:
        """Refuse a prompt with a token that the model does not have.

        Raises:
            InvalidRequestError: A tokenizer has more tokens than its model, and the prompt one of
                them.
        """
        size = self._traits.vocab_size
        if prompt_ids and (most := max(prompt_ids)) >= size:
            raise InvalidRequestError(
                f"messages: the prompt encodes to token id {most} at position "
                f"{prompt_ids.index(most)}, but the model has token ids 0 to {size - 1}; leave out "
                "the text of this token, or serve the model with the tokenizer it was trained with",
                param="messages",
            )

    def next_rows(self, running: Sequence[Row]) -> list[Row]:
        """The rows of the requests that begin now, beside those that run.

        One for which the buffers have to grow much waits while they grow, a part in each step.
        Whatever this raises, no request is lost: those that were taken wait again, so that
        `fail_all` ends them.
        """
        new: list[Row] = []
        taken: list[Waiting] = []
        try:
            while True:
                rows = [*running, *new]
                lengths = [row.max_length for row in rows]
                waiting = self.waiting.next(lengths, partial(self._should_wait, rows))
                if waiting is None:
                    return new
                taken.append(waiting)
                row = self._begin(waiting, lengths)
                if row is None:
                    taken.pop()
                    continue
                taken[-1] = replace(waiting, row=row)
                if rows and not self._prepare([*rows, row]):
                    self.waiting.wait_again(taken.pop())
                    return new
                new.append(row)
        except BaseException:
            for waiting in reversed(taken):
                self.waiting.wait_again(waiting)
            raise

    def _prepare(self, rows: Sequence[Row]) -> bool:
        """Grow the buffers by one step's part; return whether there is room for the last row."""
        self.make_room(rows)
        return self._cache.prepare(len(rows), rows[-1].state.prompt_len)

    def _begin(self, waiting: Waiting, lengths: list[int]) -> Row | None:
        """The row of a request whose turn it is; `None` if it ended already or has to wait again.

        Mods see the prompt before it is known whether the row fits, since they may replace it.
        """
        row = waiting.row or self._new_row(waiting)
        if row is None:
            return None
        if row.is_over:
            self.conclude(row)
            return None
        if not self._budget.fits([*lengths, row.max_length]):
            self.waiting.wait_again(replace(waiting, row=row))
            return None
        return row

    def _new_row(self, waiting: Waiting) -> Row | None:
        """A row whose mods have seen the prompt; `None` if it could not be made."""
        row = self._row_of(waiting)
        if row is None:
            return None
        self._metrics.count_admission(time.monotonic() - waiting.since)
        row.begin()
        self._cap(row)
        return row

    def _cap(self, row: Row) -> None:
        """Keep a row whose prompt or whole output mods have set within what can ever run."""
        state, longest = row.state, self._budget.longest
        if state.prompt_len >= longest:
            row.fail(_prompt_too_long(row))  # also where a budget of zero has ended it
        elif row.is_over:
            return
        elif len(state.token_ids) > longest:
            row.fail(_output_too_long(row, longest))
        else:
            state.limit_tokens(longest - state.prompt_len)

    def wait_again(self, row: Row) -> None:
        """Let a row that has outgrown what it was admitted for wait until the rest fits."""
        row.leave()
        if row.max_length > self._budget.longest:
            row.fail(_output_too_long(row, self._budget.longest))
            self.conclude(row)
        else:
            self.waiting.wait_again(Waiting(row.request, row.emit, time.monotonic(), row))

    def conclude(self, row: Row) -> None:
        """Tell a row's mods and its client that it has ended."""
        row.conclude()
        self._metrics.count_end(row.state, row.mod_seconds)

    def cancel(self, request_id: str) -> None:
        """End a request that waits."""
        if waiting := self.waiting.remove(request_id):
            error = EngineStoppedError("the request was cancelled while it waited")
            self._end(waiting, error, is_cancelled=True)

    def fail_all(self, error: EngineError) -> None:
        """End every request that waits with an error, and drop what earlier ones left."""
        self._prefixes.clear()
        for waiting in self.waiting.drain():
            self._end(waiting, error)

    def _end(self, waiting: Waiting, error: EngineError, *, is_cancelled: bool = False) -> None:
        row = waiting.row
        if row is None:
            waiting.emit(Failed(error=error))
            return
        if is_cancelled:
            row.cancel()
        else:
            row.fail(error)
        self.conclude(row)

    def _row_of(self, waiting: Waiting) -> Row | None:
        request = waiting.request
        prompt_len = len(request.prompt_ids)
        try:
            return Row(
                request,
                self._traits,
                waiting.emit,
                max_tokens=self._budget.length_of(prompt_len, request.max_tokens) - prompt_len,
                max_recent=self._remembers,
                clock=self._metrics.clock(waiting.since),
            )
        except ConcordanceError as exc:
            waiting.emit(Failed(error=exc))
            return None

    def _should_wait(self, rows: Sequence[Row], waiting: Waiting) -> bool:
        """Whether a prompt that is being read begins like this one's, for long enough."""
        request = waiting.request
        if not self._prefixes.is_on or waiting.row:
            return False
        known = self._prefixes.find(request.cache_salt, request.prompt_ids).length
        for row in rows:
            if row.is_reading_prompt and row.request.cache_salt == request.cache_salt:
                common = num_common(request.prompt_ids[:-1], row.prompt_ids)
                if common - max(known, row.state.num_cached) >= _WORTH_WAITING:
                    if common > row.state.num_cached:
                        row.stops.add(common)
                    return True
        return False

    def settle(self, i: int, rows: Sequence[Row]) -> None:
        """Let a new row, which is empty in the caches, begin with what is known of its prompt."""
        row = rows[i]
        prompt_ids = row.prompt_ids
        prefix = self._prefixes.find(row.request.cache_salt, prompt_ids)
        for j, other in enumerate(rows):
            if j != i and other.request.cache_salt == row.request.cache_salt:
                prefix = self._shared(prompt_ids, prefix, j, other)
        num_cached = prefix.length if prefix.length >= MIN_TOKENS else 0
        if num_cached:
            self._prefixes.restore(i, prefix)
            self._metrics.cached_tokens += num_cached
        row.admit(num_cached)
        self._pause(i, row, prefix)
        self._cache.reserve(row.state.prompt_len)

    def _shared(self, prompt_ids: Sequence[int], prefix: Prefix, j: int, other: Row) -> Prefix:
        """What can be had from a row that runs, if that is more than is known."""
        held = other.state.token_ids[: other.state.num_cached]
        common = self._cache.reach(j, num_common(prompt_ids[:-1], held))
        if not self._prefixes.is_on or common < prefix.length + MIN_TOKENS:
            return prefix
        self._prefixes.keep(other.request.cache_salt, j, prompt_ids[:common])
        return self._prefixes.find(other.request.cache_salt, prompt_ids)

    def _pause(self, i: int, row: Row, prefix: Prefix) -> None:
        """Keep what the row can go on from at its prompt's end, and where it left what is known."""
        if not self._cache.needs_snapshots:
            return
        places = {row.state.prompt_len, row.state.prompt_len - _TAIL, *row.stops}
        if prefix.match.length - prefix.length >= MIN_TOKENS:
            places.add(prefix.match.length)
        row.stops = {place for place in places if place > row.state.num_cached}
        self._cache.pin(i, list(row.stops))

    def keep(self, i: int, row: Row) -> None:
        """Keep what a row that has ended leaves in the caches."""
        state = row.state
        if row.is_sound:
            salt = row.request.cache_salt
            self._prefixes.keep(salt, i, state.token_ids[: state.num_cached])

    @property
    def prefix_bytes(self) -> int:
        """What is kept of earlier requests, in bytes."""
        return self._prefixes.num_bytes

    def make_room(self, rows: Sequence[Row]) -> None:
        """Leave the rows the memory that they can grow into."""
        grown = self._budget.bytes_of([row.max_length for row in rows])
        taken = max(grown, self._cache.num_bytes)
        self._prefixes.limit(max(0, self._budget.max_bytes - taken))


def _prompt_too_long(row: Row) -> ContextLengthError:
    return ContextLengthError(
        f"a mod replaced the prompt by one of {row.state.prompt_len} tokens, for which there is no "
        "room in the memory for caches; replace it by a shorter one, or give the server more with "
        "--kv-memory"
    )


def _output_too_long(row: Row, longest: int) -> ContextLengthError:
    return ContextLengthError(
        f"a mod forced an output of {row.state.num_completion} tokens, and computing their "
        f"log-probabilities takes more than the {longest} tokens that the memory for caches holds; "
        "ask for no log-probabilities, or give the server more with --kv-memory"
    )
