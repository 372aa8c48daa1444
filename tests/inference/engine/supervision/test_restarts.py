"""An engine that fails: it is restarted a bounded number of times, with growing delays."""

import asyncio
import functools
import gc
import queue
import threading
import weakref

import mlx.core as mx
import pytest
from concordance_inference.engine.engine import Engine
from concordance_inference.engine.supervision.loop import MAX_FAILURES
from concordance_inference.engine.supervision.restarts import (
    EngineRestartingError,
    RestartPolicy,
    Restarts,
)
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import Completed, Failed, ModelInfo
from concordance_shared import EngineError, EngineStoppedError, ModelLoadError
from families import build_model
from servers import eventually
from tiny import ask, make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)
AT_ONCE = RestartPolicy(first_delay_s=0.0)


@functools.cache
def tiny_model():
    return build_model("llama")


class Builds:
    """Builds engines; steps of the first ones raise. Refers to them weakly."""

    def __init__(self, *, num_broken=1):
        self.num_broken = num_broken
        self.made, self.alive = [], []

    def __call__(self):
        gc.collect()
        self.alive.append(sum(made() is not None for made in self.made))
        engine = make_engine(tiny_model())
        if len(self.made) < self.num_broken:
            engine.step = self.fail
        self.made.append(weakref.ref(engine))
        return engine, INFO

    def fail(self):
        raise RuntimeError("kaput")


def end_of(thread, request):
    """The last update of a request that another thread waits for."""
    ends = queue.SimpleQueue()
    thread.submit(request, only_ends(ends))
    return ends.get(timeout=20)


def only_ends(ends):
    """Put the last update of each request into a queue."""
    return lambda update: ends.put(update) if isinstance(update, Completed | Failed) else None


def test_delays_double_up_to_a_limit_and_restarts_end_after_a_number_within_the_window():
    now = [0.0]
    policy = RestartPolicy(max_restarts=4, window_s=100, first_delay_s=2, max_delay_s=10)
    restarts = Restarts(policy, clock=lambda: now[0])

    assert [restarts.next_delay_s() for _ in range(5)] == [2, 4, 8, 10, None]
    now[0] = 100.0
    assert restarts.next_delay_s() == 2
    assert restarts.total == 5


def test_an_engine_is_restarted_after_consecutive_failures_and_then_completes_requests():
    builds = Builds()
    with EngineThread(builds, max_unfinished=4, restarts=AT_ONCE) as thread:
        for _ in range(MAX_FAILURES):
            assert "kaput" in end_of(thread, ask("Hello")).error.message
        eventually(lambda: thread.num_restarts == 1 and thread.health.status == "ok")
        end = end_of(thread, ask("Hello", max_tokens=5))

    assert isinstance(end, Completed)
    assert thread.num_restarts == 1


def test_the_memory_of_the_failed_engine_is_freed_before_it_is_built_again():
    builds = Builds(num_broken=2)
    with EngineThread(builds, max_unfinished=4, restarts=AT_ONCE) as thread:
        for n in (1, 2):
            for _ in range(MAX_FAILURES):
                end_of(thread, ask("Hello"))
            eventually(lambda n=n: thread.num_restarts == n and thread.health.status == "ok")

    assert builds.alive == [0, 0, 0]


def test_requests_that_run_end_with_an_error_and_those_that_wait_can_be_retried(monkeypatch):
    """`fail_all` raises too: nothing of the engine is left to end its requests."""
    monkeypatch.setattr(Engine, "fail_all", lambda *_: 1 / 0)
    holding, ends = threading.Event(), queue.SimpleQueue()
    builds = Builds()

    def step():
        holding.wait(20)
        raise RuntimeError("kaput")

    builds.fail = step
    thread = EngineThread(builds, max_unfinished=4, restarts=RestartPolicy(first_delay_s=30))
    with thread:
        for _ in range(3):
            thread.submit(ask("Hello"), ends.put)
        holding.set()
        errors = [ends.get(timeout=20).error for _ in range(3)]
        eventually(lambda: thread.health.retry_after_s > 25)
        health = thread.health
        with pytest.raises(EngineRestartingError) as refused:
            thread.submit(ask("Hello"), ends.put)
        assert thread.metrics().steps == 0

    assert all(isinstance(error, EngineRestartingError) for error in errors)
    assert {error.status_code for error in errors} == {503}
    assert health.status == "restarting"
    assert refused.value.retry_after_s > 25
    assert ends.empty()


def test_stop_ends_an_engine_that_waits_to_be_restarted():
    thread = EngineThread(Builds(), max_unfinished=4, restarts=RestartPolicy(first_delay_s=60))
    thread.start()
    for _ in range(MAX_FAILURES):
        end_of(thread, ask("Hello"))
    eventually(lambda: thread.health.status == "restarting")
    thread.stop()

    assert not thread._thread.is_alive()
    assert thread.health.status == "stopped"


def test_an_engine_that_always_fails_stays_stopped_after_its_last_restart():
    policy = RestartPolicy(max_restarts=2, first_delay_s=0.0)
    thread = EngineThread(Builds(num_broken=99), max_unfinished=4, restarts=policy).start()
    num_failed = 0
    while thread.health.status != "stopped":
        try:
            assert isinstance(end_of(thread, ask("Hello")), Failed)
        except EngineStoppedError:  # it is being restarted, or it is stopped
            continue
        num_failed += 1
    thread.stop()

    assert thread.num_restarts == 2
    assert num_failed == 3 * MAX_FAILURES


def test_a_model_that_cannot_be_loaded_again_is_tried_again(caplog):
    builds, fails = Builds(), iter([False, True, False])

    def build():
        if next(fails):
            raise ModelLoadError("the disk is away")
        return builds()

    with EngineThread(build, max_unfinished=4, restarts=AT_ONCE) as thread:
        for _ in range(MAX_FAILURES):
            end_of(thread, ask("Hello"))
        eventually(lambda: thread.num_restarts == 2 and thread.health.status == "ok")
        assert isinstance(end_of(thread, ask("Hello", max_tokens=2)), Completed)

    assert "the disk is away" in caplog.text


@pytest.mark.parametrize("n", [1, 4, 9])
def test_a_model_whose_nth_pass_raises_fails_its_requests_and_continues(n):
    """Fault injection below the engine: the model raises in the middle of requests."""
    model = build_model("llama")
    left = [10**9]  # passes until the fault

    class Faulty(type(model)):
        def __call__(self, *args, **kwargs):
            left[0] -= 1
            if not left[0]:
                raise RuntimeError("[Metal] device fault")
            return super().__call__(*args, **kwargs)

    model.__class__ = Faulty
    alone = _completion(tiny_model())
    with EngineThread(lambda: (make_engine(model), INFO), max_unfinished=9) as thread:
        ends = queue.SimpleQueue()
        left[0] = n
        for _ in range(3):
            thread.submit(ask("Hello", max_tokens=12), only_ends(ends))
        first = [ends.get(timeout=20) for _ in range(3)]
        again = end_of(thread, ask("Hello", max_tokens=12))

    assert any("device fault" in end.error.message for end in first if isinstance(end, Failed))
    assert again.token_ids == alone.token_ids
    assert thread.num_restarts == 0


def _completion(model):
    with EngineThread(lambda: (make_engine(model), INFO), max_unfinished=9) as thread:
        return end_of(thread, ask("Hello", max_tokens=12))


def test_updates_reach_an_event_loop_when_the_engine_fails():
    async def collect(thread):
        return [update async for update in thread.generate(ask("Hello"))]

    with EngineThread(Builds(), max_unfinished=4, restarts=AT_ONCE) as thread:
        (failed,) = asyncio.run(collect(thread))

    assert isinstance(failed.error, EngineError)
    mx.synchronize()
