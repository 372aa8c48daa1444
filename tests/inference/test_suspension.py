"""Calls that stop in the middle and continue later."""

import pytest
from concordance_inference.suspension import SuspendableCall, await_answer, can_wait
from greenlet import GreenletExit, greenlet


class Answer:
    """An answer that has not arrived."""

    deadline = 0.0

    def fileno(self):
        return -1


def test_only_a_suspendable_call_can_wait():
    assert not can_wait()
    assert SuspendableCall(can_wait).switch() is True
    assert greenlet(can_wait).switch() is False


def test_waiting_returns_the_awaited_to_the_code_that_runs_the_call():
    awaited, steps = Answer(), []

    def run():
        steps.append("before")
        await_answer(awaited)
        steps.append("after")
        return "result"

    call = SuspendableCall(run)
    assert call.switch() is awaited
    assert (steps, call.dead) == (["before"], False)
    assert call.switch() == "result"
    assert (steps, call.dead) == (["before", "after"], True)


def test_a_call_may_wait_again_and_calls_wait_independently():
    def run(name):
        for _ in range(2):
            await_answer(name)
        return name.upper()

    one, two = SuspendableCall(run), SuspendableCall(run)

    switched = [one.switch("a"), two.switch("b"), one.switch(), one.switch(), two.switch()]
    assert switched == ["a", "b", "a", "A", "b"]


def test_an_abandoned_call_waits_for_nothing_and_runs_its_cleanup():
    ended = []

    def run():
        try:
            await_answer(Answer())
        finally:
            ended.append(True)
            await_answer(Answer())  # in a `finally`, as code of a mod may

    call = SuspendableCall(run)
    call.switch()
    call.is_abandoned = True
    assert isinstance(call.throw(GreenletExit), GreenletExit)
    assert (ended, call.dead) == ([True], True)


def test_waiting_elsewhere_is_a_defect():
    with pytest.raises(AssertionError, match="can_wait"):
        await_answer(Answer())
