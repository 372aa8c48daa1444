"""How long steps wait for late answers."""

import os
import time

import pytest
from concordance_inference.engine.parking import parking as module
from concordance_inference.engine.parking.calls import RequestCalls
from concordance_inference.engine.parking.parking import Parking
from concordance_inference.suspension import await_answer


class Mods:
    may_park = True

    def close(self):
        pass


class Pipe:
    """An answer that arrives when something is written."""

    def __init__(self, deadline_s=60):
        self.reading, self.writing = os.pipe()
        self.deadline = time.monotonic() + deadline_s

    def fileno(self):
        return self.reading

    def arrive(self):
        os.write(self.writing, b"!")

    def close(self):
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture(name="pipe")
def _pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture(name="waits")
def _waits(monkeypatch):
    """The time limits of the waits, in seconds; none of them waits."""
    waits = []

    class Poll:
        def __init__(self):
            self.poll_really = select_poll()

        def register(self, *args):
            self.poll_really.register(*args)

        def poll(self, timeout_ms):
            waits.append(timeout_ms / 1000)
            now[0] += timeout_ms / 1000
            return self.poll_really.poll(0)

    now, select_poll = [0.0], module.select.poll
    monkeypatch.setattr(module.select, "poll", Poll)
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return waits


def parked(parking, awaited, log):
    calls = RequestCalls(Mods(), parking, fail=None)

    def call():
        await_answer(awaited)
        log.append(awaited)

    calls.run(call)
    return calls


def test_a_call_continues_when_its_answer_is_there(pipe):
    parking, log = Parking(), []
    parked(parking, pipe, log)

    parking.collect()
    assert not log
    pipe.arrive()
    parking.collect()

    assert log == [pipe]
    assert len(parking) == 0


def test_a_step_waits_for_the_grace_until_the_patience_is_spent(pipe, waits):
    parking = Parking()
    pipe.deadline = 1e9
    parked(parking, pipe, [])

    for _ in range(100):
        parking.collect()

    assert max(waits) == pytest.approx(module.GRACE_S)
    assert 0.05 <= sum(waits) < 0.05 + 2 * module.GRACE_S


def test_a_step_without_other_work_waits_longer_and_spends_no_patience(pipe, waits):
    parking = Parking()
    pipe.deadline = 1e9
    calls = parked(parking, pipe, [])
    patience_s = calls.patience_s

    parking.collect(is_idle=True)

    assert sum(waits) == pytest.approx(module.IDLE_S)
    assert calls.patience_s == patience_s


def test_an_overdue_call_is_continued_without_its_answer(pipe, waits):
    parking, log = Parking(), []
    pipe.deadline = 0.0015
    parked(parking, pipe, log)

    parking.collect()

    assert log == [pipe]
    assert sum(waits) == pytest.approx(0.0015)


def test_one_late_call_does_not_keep_others_waiting(pipe):
    parking, log, other = Parking(), [], Pipe()
    parked(parking, pipe, log)
    parked(parking, other, log)
    other.arrive()

    parking.collect()

    assert log == [other]
    other.close()


def test_close_ends_every_call():
    parking, pipes = Parking(), [Pipe(), Pipe()]
    calls = [parked(parking, pipe, []) for pipe in pipes]

    parking.close()

    assert not any(each.is_parked for each in calls)
    assert len(parking) == 0
    for pipe in pipes:
        pipe.close()
