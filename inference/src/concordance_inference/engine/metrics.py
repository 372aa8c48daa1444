"""What the engine counts and times. Written by its thread alone, and free when nobody reads it.

Plain numbers: whoever exports them takes a `snapshot`, from any thread.
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
    """A histogram at one moment."""

    bounds: tuple[float, ...]  # upper bounds, ascending; what is above the last counts behind it
    counts: tuple[int, ...]  # one for each bound, and one more
    total: float  # of all values

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """An upper bound of the value below which a fraction `q` of all lies; 0 without values."""
        left = q * self.count
        for bound, count in zip(self.bounds, self.counts, strict=False):
            left -= count
            if left <= 0:
                return bound if self.count else 0.0
        return float("inf")


class Histogram:
    """How often values fell between given bounds."""

    def __init__(self, bounds: Sequence[float] = _SECONDS) -> None:
        """Begin without values.

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
        """What it holds now."""
        return HistogramSnapshot(bounds=self._bounds, counts=tuple(self._counts), total=self._total)


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """What the engine has counted and timed, at one moment. Counts go up only, but for the last."""

    steps: int
    passes: int
    requests: dict[FinishReason, int]  # that have ended, by how
    prefill_tokens: int  # of prompts, that were read
    cached_tokens: int  # of prompts, that did not have to be read
    decode_tokens: int  # of completions, that were read
    sampled_tokens: int  # of requests that have ended
    forced_tokens: int
    taken_back_tokens: int
    queue_s: HistogramSnapshot  # from submission to a row
    time_to_first_token_s: HistogramSnapshot  # from submission
    inter_token_s: HistogramSnapshot
    mod_s: HistogramSnapshot  # spent in the mods of a request, for requests that have mods
    running: int
    waiting: int
    kv_bytes: int
    prefix_bytes: int


class Metrics:
    """Counts and times of an engine."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.steps = 0
        self.passes = 0
        self.prefill_tokens = 0
        self.cached_tokens = 0
        self.decode_tokens = 0
        self._requests: dict[FinishReason, int] = {}
        self._sampled = self._forced = self._taken_back = 0
        self._queue = Histogram()
        self._first_token = Histogram()
        self._inter_token = Histogram()
        self._mods = Histogram()

    def count_read(self, state: RequestState, start: int, num_tokens: int) -> None:
        """Count what a pass reads of a request, from `start` on."""
        of_prompt = min(num_tokens, max(0, state.prompt_len - start))
        self.prefill_tokens += of_prompt
        self.decode_tokens += num_tokens - of_prompt

    def count_admission(self, waited_s: float) -> None:
        """Count a request that has got a row."""
        self._queue.observe(waited_s)

    def count_end(self, state: RequestState, mod_s: float | None) -> None:
        """Count a request that has ended.

        Args:
            state: The request.
            mod_s: How long its mods took in all; `None` if it has none.
        """
        reason = state.finish_reason or FinishReason.ERROR
        self._requests[reason] = self._requests.get(reason, 0) + 1
        self._sampled += state.num_sampled
        self._forced += state.num_forced
        self._taken_back += state.num_backtracked
        if mod_s is not None:
            self._mods.observe(mod_s)

    def snapshot(
        self, *, running: int, waiting: int, kv_bytes: int, prefix_bytes: int
    ) -> MetricsSnapshot:
        """Everything, and what is so now."""
        return MetricsSnapshot(
            steps=self.steps,
            passes=self.passes,
            requests=dict(self._requests),
            prefill_tokens=self.prefill_tokens,
            cached_tokens=self.cached_tokens,
            decode_tokens=self.decode_tokens,
            sampled_tokens=self._sampled,
            forced_tokens=self._forced,
            taken_back_tokens=self._taken_back,
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
        """Times the tokens of one request."""
        return TokenClock(submitted_at, self._first_token, self._inter_token)


class TokenClock:
    """When the tokens of one request came."""

    def __init__(self, submitted_at: float, first: Histogram, between: Histogram) -> None:
        """Begin to wait for the first token.

        Args:
            submitted_at: When the request was submitted, in seconds.
            first: Takes how long the first token took.
            between: Takes the times between those that follow.
        """
        self._last_at = submitted_at
        self._waits_for: Histogram = first
        self._between = between
        self._num_seen = 0

    def see(self, num_tokens: int, now: float) -> None:
        """Take in how many tokens there were so far; several at once came at the same moment."""
        if num_tokens > self._num_seen:
            self._waits_for.observe(now - self._last_at)
            self._waits_for = self._between
            self._num_seen, self._last_at = num_tokens, now
