"""Counters and latency histograms of the engine.

The engine's thread writes plain numbers; an exporter takes a `snapshot` from any thread.
"""

import copy
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason

from concordance_inference.metrics_snapshot import (
    HistogramSnapshot,
    MetricsSnapshot,
    ModCost,
    mean_service_s,
)

#: Names of mods that are counted; the mods of further names are counted together.
MAX_MODS = 256
OTHER_MODS = "other"

#: Upper bounds of durations, in seconds.
_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)


class Histogram:
    """Counts of values between given bounds."""

    def __init__(self, bounds: Sequence[float] = _SECONDS) -> None:
        """Make an empty histogram.

        Args:
            bounds: Upper bounds, ascending.
        """
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def snapshot(self) -> HistogramSnapshot:
        """Return an immutable copy."""
        return HistogramSnapshot(bounds=self._bounds, counts=tuple(self._counts), total=self._total)


class Metrics:
    """Counters and histograms of an engine."""

    def __init__(self) -> None:
        """Start all counters at zero."""
        self.steps = 0
        self.passes = 0
        self.prefill_tokens = 0
        self.cached_tokens = 0
        self.decode_tokens = 0
        self._requests: dict[FinishReason, int] = {}
        self._sampled = self._forced = self._backtracked = self._prompt = self._completion = 0
        self._by_mod: dict[str, ModCost] = {}
        self._queue = Histogram()
        self._first_token = Histogram()
        self._inter_token = Histogram()
        self._latency = Histogram()
        self._mods = Histogram()

    def count_read(self, state: RequestState, start: int, num_tokens: int) -> None:
        """Count the tokens of a request that a pass processes, from position `start` on."""
        of_prompt = min(num_tokens, max(0, state.given_len - start))
        self.prefill_tokens += of_prompt
        self.decode_tokens += num_tokens - of_prompt

    def count_admission(self, waited_s: float) -> None:
        """Count a request that gets a row."""
        self._queue.observe(waited_s)

    @property
    def mean_service_s(self) -> float:
        """How long a request took on average, without its time in the queue."""
        return mean_service_s(self._latency.snapshot(), self._queue.snapshot())

    def count_end(
        self,
        state: RequestState,
        costs: Mapping[str, ModCost],
        *,
        seconds: float,
        num_sampled_before: int = 0,
        num_forced_before: int = 0,
    ) -> None:
        """Count an ended request.

        Args:
            state: The request.
            costs: What its mods took, by name.
            seconds: Time since its submission.
            num_sampled_before: Draws that an earlier request took, whose completion it continued.
            num_forced_before: Tokens of the completion that mods of another request forced.
        """
        reason = state.finish_reason or FinishReason.ERROR
        self._requests[reason] = self._requests.get(reason, 0) + 1
        self._sampled += state.num_sampled - num_sampled_before
        self._forced += max(0, state.num_forced - num_forced_before)
        self._backtracked += state.num_backtracked
        self._prompt += state.given_len
        self._completion += max(0, state.num_completion - state.num_begun)
        self._latency.observe(seconds)
        if costs:
            self._mods.observe(sum(cost.seconds for cost in costs.values()))
        for name, cost in costs.items():
            known = name in self._by_mod or len(self._by_mod) < MAX_MODS
            total = self._by_mod.setdefault(name if known else OTHER_MODS, ModCost())
            total.calls += cost.calls
            total.seconds += cost.seconds

    def snapshot(
        self,
        *,
        running: int,
        waiting: int,
        parked: int,
        kv_bytes: int,
        prefix_bytes: int,
        kv_limit_bytes: int | None = None,
    ) -> MetricsSnapshot:
        """Return a copy of all metrics with the given gauges."""
        return MetricsSnapshot(
            steps=self.steps,
            passes=self.passes,
            requests=dict(self._requests),
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
            mods={name: copy.copy(cost) for name, cost in [*self._by_mod.items()]},
            prefill_tokens=self.prefill_tokens,
            cached_tokens=self.cached_tokens,
            decode_tokens=self.decode_tokens,
            sampled_tokens=self._sampled,
            forced_tokens=self._forced,
            backtracked_tokens=self._backtracked,
            queue_s=self._queue.snapshot(),
            time_to_first_token_s=self._first_token.snapshot(),
            inter_token_s=self._inter_token.snapshot(),
            latency_s=self._latency.snapshot(),
            mod_s=self._mods.snapshot(),
            running=running,
            waiting=waiting,
            parked=parked,
            kv_bytes=kv_bytes,
            prefix_bytes=prefix_bytes,
            kv_limit_bytes=kv_limit_bytes,
        )

    def clock(self, submitted_at: float) -> "TokenClock":
        """Make a clock for the tokens of one request."""
        return TokenClock(submitted_at, self._first_token, self._inter_token)


class TokenClock:
    """Measures time to first token and inter-token latency of one request."""

    def __init__(self, submitted_at: float, first: Histogram, between: Histogram) -> None:
        """Start at the time of submission.

        Args:
            submitted_at: In seconds.
            first: Observes the time to first token.
            between: Observes the times between later tokens.
        """
        self.submitted_at = submitted_at
        self._last_at = submitted_at
        self._current: Histogram = first
        self._between = between
        self._num_seen = 0

    def see(self, num_tokens: int, now: float) -> None:
        """Observe the number of tokens so far; those that arrive together count as one interval."""
        if num_tokens > self._num_seen:
            self._current.observe(now - self._last_at)
            self._current = self._between
            self._num_seen, self._last_at = num_tokens, now
