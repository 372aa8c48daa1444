"""Steps that do not return: logged with what they do, and seen in the engine's health."""

import threading

import pytest
from concordance_inference.engine.supervision.step_watch import StepWatch
from concordance_inference.engine.thread import EngineThread
from concordance_inference.generation import ModelInfo
from families import build_model
from servers import eventually
from tiny import ask, make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


@pytest.fixture(name="hang")
def _hang():
    """An engine whose steps wait for a device that never responds, until it does."""
    device = threading.Event()

    def wait_for_device():
        device.wait(20)

    def build():
        engine = make_engine(build_model("llama"))
        step = engine.step
        engine.step = lambda: (wait_for_device(), step())
        return engine, INFO

    with EngineThread(build, max_unfinished=4, step_limit_s=0.05) as thread:
        thread.device = device
        yield thread
        device.set()


def test_a_step_that_does_not_return_is_logged_with_what_it_does(hang, caplog):
    hang.submit(ask("Hello", max_tokens=2), lambda _: None)
    eventually(lambda: "has not returned" in caplog.text)
    hang.device.set()
    eventually(lambda: "has returned" in caplog.text)

    assert "all requests wait for it" in caplog.text
    assert "device.wait(20)" in caplog.text


def test_a_step_that_does_not_return_is_part_of_the_engines_health(hang):
    hang.submit(ask("Hello", max_tokens=2), lambda _: None)
    eventually(lambda: hang.health.status == "stuck")
    health = hang.health
    hang.device.set()
    eventually(lambda: hang.health.status == "ok")

    assert health.call is None
    assert health.step.seconds >= 0.05
    assert "wait_for_device" in health.step.stack


def test_reports_of_one_step_come_at_growing_intervals(caplog):
    watch = StepWatch(threading.current_thread(), limit_s=0.0)
    watch.started_at = 0.0  # long ago
    for _ in range(9):
        watch.look()

    assert caplog.text.count("has not returned") == 1


def test_a_short_step_is_not_reported(caplog):
    watch = StepWatch(threading.current_thread(), limit_s=60.0)
    watch.look()

    assert watch.slow_step is None
    assert not caplog.records
