"""A copy of an engine's metrics: plain data, for exporters on any thread."""

from concordance_shared import FinishReason
from msgspec import Struct


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


EMPTY = HistogramSnapshot(bounds=(), counts=(0,), total=0.0)


def mean_service_s(latency: HistogramSnapshot, queue: HistogramSnapshot) -> float:
    """Return how long a request took on average, without its time in the queue.

    Args:
        latency: Times from submission to the end.
        queue: Times from submission to a row.
    """
    if not latency.count:
        return 1.0
    return max(0.0, latency.total - queue.total) / latency.count


class ModCost(Struct):
    """What one mod took, in all requests that have ended."""

    calls: int = 0  # of its handlers
    seconds: float = 0.0  # in its code


class MetricsSnapshot(Struct, frozen=True, kw_only=True):
    """An immutable copy of an engine's metrics. `running` and what follows are gauges."""

    restarts: int = 0  # of the engine
    steps: int = 0
    passes: int = 0
    requests: dict[FinishReason, int] = {}  # ended requests
    prompt_tokens: int = 0  # of ended requests, as the next one
    completion_tokens: int = 0
    mods: dict[str, ModCost] = {}  # by name, of ended requests
    prefill_tokens: int = 0  # prompt tokens processed
    cached_tokens: int = 0  # prompt tokens found in the prefix cache
    decode_tokens: int = 0  # completion tokens processed
    sampled_tokens: int = 0  # of ended requests, as the next two
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    queue_s: HistogramSnapshot = EMPTY  # from submission to a row
    time_to_first_token_s: HistogramSnapshot = EMPTY  # from submission
    inter_token_s: HistogramSnapshot = EMPTY
    latency_s: HistogramSnapshot = EMPTY  # from submission to the end
    mod_s: HistogramSnapshot = EMPTY  # in the mods of a request, for requests with mods
    running: int = 0
    waiting: int = 0
    parked: int = 0  # requests that wait for a mod in a worker
    kv_bytes: int = 0
    prefix_bytes: int = 0
    kv_limit_bytes: int | None = None  # `None`: unlimited
