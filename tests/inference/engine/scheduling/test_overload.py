"""Requests for which there is no room: of all, of one owner, and for too long."""

import time
from types import SimpleNamespace

import pytest
from concordance_inference.engine.scheduling import queue_limits
from concordance_inference.engine.scheduling.overload import retry_after_s
from concordance_inference.generation import Completed, Failed
from concordance_inference.metrics_snapshot import HistogramSnapshot, mean_service_s
from tiny import ask, finish, make_engine, submit


@pytest.mark.parametrize(
    ("mean_s", "num_waiting", "num_rows", "expected"),
    [(2.0, 8, 4, 4), (0.1, 1, 8, 1), (0.0, 0, 8, 1), (500.0, 64, 8, 60), (60.0, 8, 8, 60)],
)
def test_retry_after_is_the_time_of_those_that_wait_within_bounds(
    mean_s, num_waiting, num_rows, expected
):
    found = retry_after_s(mean_s, num_waiting=num_waiting, num_rows=num_rows)

    assert (found, type(found)) == (expected, int)


def test_the_time_in_the_queue_is_not_service():
    latency = HistogramSnapshot(bounds=(), counts=(4,), total=20.0)
    queue = HistogramSnapshot(bounds=(), counts=(4,), total=12.0)

    assert mean_service_s(latency, queue) == 2.0
    assert mean_service_s(HistogramSnapshot(bounds=(), counts=(0,), total=0), queue) == 1.0


def test_an_owner_with_enough_requests_is_refused_and_others_are_not():
    engine = make_engine(max_rows=1, max_waiting_per_owner=2)
    ann = [submit(engine, ask(owner="ann", max_tokens=2)) for _ in range(4)]
    bob, nobody = (submit(engine, ask(owner=owner, max_tokens=2)) for owner in ("bob", ""))
    refused = ann.pop()

    assert isinstance(refused.end, Failed)
    assert (refused.end.error.status_code, refused.end.error.retry_after_s) == (429, 3)
    assert "your key" in refused.end.error.message
    finish(engine)
    assert all(isinstance(each.end, Completed) for each in [*ann, bob, nobody])
    again = submit(engine, ask(owner="ann", max_tokens=2))
    finish(engine)
    assert isinstance(again.end, Completed)


def test_requests_without_keys_share_no_limit_of_an_owner():
    engine = make_engine(max_rows=1, max_waiting_per_owner=0)
    answers = [submit(engine, ask(max_tokens=1)) for _ in range(5)]
    finish(engine)

    assert all(isinstance(each.end, Completed) for each in answers)


@pytest.mark.parametrize("waited_s", [10.0, 2000.0])
def test_a_request_that_waits_for_too_long_ends_and_one_that_runs_does_not(monkeypatch, waited_s):
    engine = make_engine(max_rows=1, queue_s=1000.0)
    running = submit(engine, ask(max_tokens=4))
    engine.step()
    waiting = submit(engine, ask(max_tokens=4))
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + waited_s)
    monkeypatch.setattr(queue_limits, "time", later)
    finish(engine)

    assert isinstance(running.end, Completed)
    if waited_s < 1000:
        assert isinstance(waiting.end, Completed)
    else:
        error = waiting.end.error
        assert (error.status_code, error.code) == (503, "queue_timeout")
        assert 1 <= error.retry_after_s <= 60
