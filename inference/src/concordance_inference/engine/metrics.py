"""Counters and latency histograms of the engine.

The engine's thread writes plain numbers; an exporter takes a `snapshot` from any thread.
"""

from bisect import bisect_left
from collections.abc import Sequence

from concordance_sdk.host.request_state import RequestState
from concordance_shared import FinishReason
from msgspec import Struct

#: Upper bounds of durations, in seconds.
_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)


class HistogramSnapshot(Struct, frozen=True, kw_only=True):
    """An immutable copy of a histogram."""

    bounds: tuple[float, ...]  # upper bounds, ascending
    counts: tuple[int, ...]  # one for each bound, and one for values above the last
    total: float  # of all values

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Return an upper bound of the quantile `q`; 0 without values."""
        left = q * self.count
        for bound, count in zip(self.bounds, self.counts, strict=False):
            left -= count
            if left <= 0:
                return bound if self.count else 0.0
        return float("inf")


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


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """An immutable copy of the metrics. The last four fields are gauges, all others only grow."""

    steps: int
    passes: int
    requests: dict[FinishReason, int]  # ended requests
    prefill_tokens: int  # prompt tokens processed
    cached_tokens: int  # prompt tokens found in the prefix cache
    decode_tokens: int  # completion tokens processed
    sampled_tokens: int  # of ended requests, as the next two
    forced_tokens: int
    backtracked_tokens: int
    queue_s: HistogramSnapshot  # from submission to a row
    time_to_first_token_s: HistogramSnapshot  # from submission
    inter_token_s: HistogramSnapshot
    mod_s: HistogramSnapshot  # in the mods of a request, for requests with mods
    running: int
    waiting: int
    kv_bytes: int
    prefix_bytes: int


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
        self._sampled = self._forced = self._backtracked = 0
        self._queue = Histogram()
        self._first_token = Histogram()
        self._inter_token = Histogram()
        self._mods = Histogram()

    def count_read(self, state: RequestState, start: int, num_tokens: int) -> None:
        """Count the tokens of a request that a pass processes, from position `start` on."""
        of_prompt = min(num_tokens, max(0, state.prompt_len - start))
        self.prefill_tokens += of_prompt
        self.decode_tokens += num_tokens - of_prompt

    def count_admission(self, waited_s: float) -> None:
        """Count a request that gets a row."""
        self._queue.observe(waited_s)

    def count_end(self, state: RequestState, mod_s: float | None) -> None:
        """Count an ended request.

        Args:
            state: The request.
            mod_s: Total time in its mods; `None` if it has none.
        """
        reason = state.finish_reason or FinishReason.ERROR
        self._requests[reason] = self._requests.get(reason, 0) + 1
        self._sampled += state.num_sampled
        self._forced += state.num_forced
        self._backtracked += state.num_backtracked
        if mod_s is not None:
            self._mods.observe(mod_s)

    def snapshot(
        self, *, running: int, waiting: int, kv_bytes: int, prefix_bytes: int
    ) -> MetricsSnapshot:
        """Return a copy of all metrics with the given gauges."""
        return MetricsSnapshot(
            steps=self.steps,
            passes=self.passes,
            requests=dict(self._requests),
            prefill_tokens=self.prefill_tokens,
            cached_tokens=self.cached_tokens,
            decode_tokens=self.decode_tokens,
            sampled_tokens=self._sampled,
            forced_tokens=self._forced,
            backtracked_tokens=self._backtracked,
            queue_s=self._queue.snapshot(),
            time_to_first_token_s=self._first_token.snapshot(),
            inter_token_s=self._inter_token.snapshot(),
            mod_s=self._mods.snapshot(),
            running=running,
            waiting=waiting,
            kv_bytes=kv_bytes,
            prefix_bytes=prefix_bytes,
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
