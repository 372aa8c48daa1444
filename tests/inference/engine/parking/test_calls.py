"""Calls that stop in the middle and continue later."""

import math

from concordance_inference.engine.parking.calls import RequestCalls
from concordance_inference.engine.parking.parking import Parking
from concordance_inference.suspension import await_answer, can_wait
from greenlet import GreenletExit


class Mods:
    """The mods of a request, as `RequestCalls` sees them."""

    def __init__(self, *, may_park=True):
        self.may_park = may_park
        self.is_closed = False

    def close(self):
        self.is_closed = True


class Answer:
    """An answer that never arrives by itself."""

    deadline = math.inf

    def fileno(self):
        return -1


def calls_of(*, may_park=True, fail=None):
    return RequestCalls(Mods(may_park=may_park), Parking(), fail)


def test_a_call_continues_where_it_waited_and_keeps_its_variables():
    calls, log = calls_of(), []

    def call(value):
        log.append(value)
        await_answer(Answer())
        log.append(value + 1)

    calls.run(call, 1)
    assert (calls.is_parked, log) == (True, [1])

    assert calls.proceed()
    assert (calls.is_parked, log) == (False, [1, 2])


def test_a_call_may_wait_again():
    calls = calls_of()

    def call():
        await_answer(Answer())
        await_answer(Answer())

    calls.run(call)

    assert [calls.proceed(), calls.proceed()] == [False, True]


def test_the_result_of_a_call_is_taken_once_it_is_there():
    calls = calls_of()

    def call():
        await_answer(Answer())
        return "logits"

    assert calls.ask(call) is None
    assert calls.take_answer() is None
    calls.proceed()

    assert calls.is_busy
    assert [calls.take_answer(), calls.take_answer(), calls.is_busy] == ["logits", None, False]


def test_a_call_is_not_repeated_while_its_result_has_not_been_taken():
    calls, asked = calls_of(), []
    calls.ask(lambda: asked.append(1) or "first")

    calls.ask(lambda: asked.append(2) or "second")

    assert (asked, calls.take_answer()) == ([1], "first")


def test_a_part_of_a_call_may_be_a_call():
    calls, log = calls_of(), []

    def part():
        await_answer(Answer())
        log.append("part")

    def call():
        calls.run(part)
        log.append("whole")

    calls.run(call)
    calls.proceed()

    assert log == ["part", "whole"]


def test_an_abandoned_call_raises_where_it_waits_and_its_mods_are_closed():
    calls, log = calls_of(), []

    def call():
        try:
            await_answer(Answer())
        except GreenletExit:
            log.append("ended")
        log.append("rest")

    calls.run(call)
    calls.abandon()

    assert (log, calls.is_parked, calls._mods.is_closed) == (["ended", "rest"], False, True)
    assert not calls._parking
    calls.run(log.append, "next")
    assert log[-1] == "next"


def test_an_exception_of_a_continued_call_fails_the_request_and_the_call_is_over():
    errors = []
    calls = calls_of(fail=errors.append)

    def call():
        await_answer(Answer())
        raise ValueError("kaput")

    calls.run(call)
    assert calls.proceed()

    assert [str(error) for error in errors] == ["kaput"]
    assert not calls.is_parked
    assert not calls._parking


def test_an_exception_of_an_abandoned_call_fails_the_request():
    errors = []
    calls = calls_of(fail=errors.append)

    def call():
        try:
            await_answer(Answer())
        finally:
            raise ValueError("kaput")

    calls.run(call)
    calls.abandon()

    assert [str(error) for error in errors] == ["kaput"]
    calls.run(errors.clear)
    assert not errors


def test_an_abandoned_call_never_waits_again():
    calls, log = calls_of(), []

    def call():
        for _ in range(2):
            try:
                await_answer(Answer())
            except GreenletExit:
                log.append("ended")

    calls.run(call)
    calls.abandon()

    assert (log, calls.is_parked) == (["ended", "ended"], False)


def test_mods_of_this_process_are_called_directly():
    calls, seen = calls_of(may_park=False), []

    calls.run(lambda: seen.append(can_wait()))
    assert calls.ask(can_wait) is False

    assert seen == [False]
