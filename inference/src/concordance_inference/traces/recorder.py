"""Records what happens to one request, as plain tuples that another thread turns into a trace."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from concordance_sdk.host.action_details import adjustment
from concordance_shared import AdjustedLogits, AnyAction, Event, Noop

from concordance_inference.traces.schema import Level

if TYPE_CHECKING:
    from concordance_sdk.host.instance import ModInstance

    from concordance_inference.control import Command, Moment
    from concordance_inference.generation import TokenLogprobs

#: Records that may wait for the thread that reads them. A request that has more is truncated.
MAX_WAITING = 50_000


class Kind(IntEnum):
    """The first field of a record. The others are described by `TraceBuilder`."""

    BEGIN = 0
    DRAW = 1
    VALUES = 2
    EDIT = 3
    EVENT = 4
    CALL = 5
    LOG = 6
    PASS = 7
    WASTED = 8
    COMMAND = 9
    END = 10
    CLOSED = 11
    LOGPROBS = 12


class TraceRecorder:
    """A tracer of one request, without locks: one thread adds records, another takes them.

    It never waits. When `MAX_WAITING` records wait, it takes no more of tokens, so that what is
    recorded is a prefix of what happened.

    Attributes:
        level: `requests` or `tokens`.
        num_draws: Tokens that the sampler drew.
        num_dropped: Records that were dropped.
    """

    def __init__(self, level: Level = "tokens", *, max_waiting: int = MAX_WAITING) -> None:
        """Start without records."""
        self.level: Level = level
        self.num_draws = 0
        self.num_dropped = 0
        self._max_waiting = max_waiting
        self._records: deque[tuple[Any, ...]] = deque()
        self._started_ns = time.monotonic_ns()

    # Called by the engine, and by mods' output

    @property
    def traces_tokens(self) -> bool:
        """True if the level is `tokens`."""
        return self.level == "tokens"

    def begin(
        self,
        given: Sequence[int],
        given_by: Sequence[str | None],
        seed: int,
        prompt_ids: Sequence[int] = (),
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        """Record that the request got its row.

        Args:
            given: The tokens that the completion begins with.
            given_by: The mod that forced each of them, if any.
            seed: Of its draws.
            prompt_ids: The prompt, before mods saw it.
            limits: Of the completion; see `Trace.limits`.
        """
        self._started_ns = time.monotonic_ns()
        facts = (tuple(given), tuple(given_by), seed, prompt_ids, limits or {})
        self._records.append((Kind.BEGIN, *facts))

    def drew(self, token_id: int, position: int) -> None:
        """Record a token that was sampled, before the mods see it."""
        self._add((Kind.DRAW, self.num_draws, token_id, position, self._now()))
        self.num_draws += 1

    def values(self, draw: int, values: Sequence[float], *, is_adjusted: bool) -> None:
        """Record the probabilities of a draw, in the layout of `engine.sampling.trace_values`."""
        self._add((Kind.VALUES, draw, values, is_adjusted))

    def logprobs(self, position: int, entry: "TokenLogprobs") -> None:
        """Record the probabilities of a token that was not drawn, of a request with `logprobs`."""
        self._add((Kind.LOGPROBS, position, entry.token_id, entry.logprob, entry.top))

    def ask(
        self,
        mod: "ModInstance",
        event: Event,
        ask: Callable[["ModInstance", Event], AnyAction],
    ) -> AnyAction:
        """Call a mod, and record its action and its time."""
        started = time.perf_counter_ns()
        try:
            action = ask(mod, event)
        except Exception as exc:
            elapsed = time.perf_counter_ns() - started
            error = f"{type(exc).__name__}: {exc}"
            self._event(mod.name, event, None, elapsed, error)
            raise
        elapsed = time.perf_counter_ns() - started
        if type(action) is Noop:
            self._add((Kind.CALL, mod.name, type(event).__name__, event.step, elapsed, self._now()))
        else:
            self._event(mod.name, event, action, elapsed)
        return action

    def acted(self, mod: str, event: Event, action: AnyAction) -> None:
        """Record an action that no handler returned, such as one by hand."""
        self._event(mod, event, action, None)

    def edited(self, kept: int, added: tuple[int, ...], mod: str | None, *, forced: bool) -> None:
        """Record an edit: the completion is its first `kept` tokens, followed by `added`."""
        self._add((Kind.EDIT, kept, added, forced, mod, self._now()))

    def passed(self, *, step: int, rows: int, row: int, tokens: int, prefill: bool) -> None:
        """Record a forward pass over tokens of the request."""
        self._add((Kind.PASS, step, rows, row, tokens, prefill, self._now()))

    def wasted(self) -> None:
        """Record that the result of the last pass was discarded."""
        self._add((Kind.WASTED,))

    def commanded(
        self,
        described: Mapping[str, Any],
        at: "Moment | None" = None,
        command: "Command | None" = None,
    ) -> None:
        """Record a command of live control that was applied.

        Args:
            described: As `event_of_outcome` describes it.
            at: When it was applied.
            command: The command.
        """
        self._add((Kind.COMMAND, dict(described), at, command, self._now()))

    def log(self, mod: str, level: str, text: str) -> None:
        """Record a line that a mod printed or logged."""
        if len(self._records) < self._max_waiting:
            self._records.append((Kind.LOG, mod, level, text, self._now()))

    def end(self, facts: Mapping[str, Any]) -> None:
        """Record the end. `facts` holds values and lists that do not change any more."""
        self._records.append((Kind.END, facts, self._now()))

    def close(self) -> None:
        """Record that no end follows unless the request has a row."""
        self._records.append((Kind.CLOSED,))

    # Called by the thread that makes traces

    def take(self) -> list[tuple[Any, ...]]:
        """Return the records since the last call, oldest first."""
        records = self._records
        return [records.popleft() for _ in range(len(records))]

    def _event(
        self,
        mod: str,
        event: Event,
        action: AnyAction | None,
        elapsed: int | None,
        error: str | None = None,
    ) -> None:
        shown = adjustment(action) if isinstance(action, AdjustedLogits) else action
        name = type(event).__name__
        self._add((Kind.EVENT, mod, name, event.step, shown, elapsed, error, self._now()))

    def _add(self, record: tuple[Any, ...]) -> None:
        if self.num_dropped or len(self._records) >= self._max_waiting:
            self.num_dropped += 1
        else:
            self._records.append(record)

    def _now(self) -> int:
        return time.monotonic_ns() - self._started_ns
