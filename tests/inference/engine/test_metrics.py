"""Counters, gauges and latency histograms of the engine."""

import pytest
from concordance_inference.engine.metrics import Histogram, Metrics
from concordance_sdk import Added, FinishReason, mod
from tiny import ask, make_engine, run, submit


def test_histogram_counts_values_between_bounds():
    histogram = Histogram([1, 2, 5])
    for value in (0.5, 1, 1.5, 4, 7, 9):
        histogram.observe(value)
    snapshot = histogram.snapshot()

    assert snapshot.counts == (2, 1, 1, 2)
    assert (snapshot.count, snapshot.total) == (6, 23)


@pytest.mark.parametrize(("q", "bound"), [(0, 1), (0.5, 2), (0.6, 5), (0.95, float("inf"))])
def test_a_quantile_is_the_upper_bound_of_its_bucket(q, bound):
    histogram = Histogram([1, 2, 5])
    for value in (0.5, 1, 1.5, 4, 7, 9):
        histogram.observe(value)

    assert histogram.snapshot().quantile(q) == bound


def test_a_quantile_of_an_empty_histogram_is_zero():
    assert Histogram([1]).snapshot().quantile(0.5) == 0


def test_time_to_first_token_starts_at_submission_and_inter_token_latency_at_the_last_token():
    metrics = Metrics()
    clock = metrics.clock(submitted_at=10.0)
    for num_tokens, now in ((0, 10.5), (1, 12.0), (1, 12.2), (5, 12.5)):
        clock.see(num_tokens, now)
    snapshot = metrics.snapshot(running=0, waiting=0, parked=0, kv_bytes=0, prefix_bytes=0)

    assert (snapshot.time_to_first_token_s.count, snapshot.time_to_first_token_s.total) == (1, 2.0)
    assert (snapshot.inter_token_s.count, snapshot.inter_token_s.total) == (1, 0.5)


def test_an_engine_counts_prefilled_cached_sampled_forced_and_backtracked_tokens():
    @mod(on=[Added], max_backtrack=None)
    def rewrite(event, actions):
        if event.step == 3:
            return actions.backtrack(2, b"ab")

    engine = make_engine()
    run(engine, ask("x" * 40, max_tokens=6))
    run(engine, ask("x" * 40, rewrite, max_tokens=6))
    metrics = engine.metrics()

    assert metrics.requests == {FinishReason.LENGTH: 2}
    assert metrics.cached_tokens == 39
    assert metrics.prefill_tokens == 41
    assert (metrics.forced_tokens, metrics.backtracked_tokens) == (2, 2)
    assert metrics.sampled_tokens == 6 + 6
    assert metrics.passes >= 12
    assert metrics.time_to_first_token_s.count == metrics.queue_s.count == 2
    assert metrics.inter_token_s.count >= 10
    assert metrics.mod_s.count == 1


def test_gauges_of_running_and_waiting_requests_and_cache_bytes():
    engine = make_engine(max_rows=1)
    for _ in range(3):
        submit(engine, ask("x" * 40))
    engine.step()
    metrics = engine.metrics()

    assert (metrics.running, metrics.waiting) == (1, 2)
    assert metrics.kv_bytes > 0
    assert metrics.prefix_bytes == 0
