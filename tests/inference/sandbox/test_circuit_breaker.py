"""Mods that fail again and again."""

import pytest
from concordance_inference.sandbox.circuit_breaker import (
    CircuitBreaker,
    ModDisabledError,
)
from concordance_inference.sandbox.failures import LostWorkerError
from concordance_shared import EmittedError, InvalidRequestError, ModRaisedError

MINE, OTHERS, NEXT = ("me", "m", "v1"), ("you", "m", "v1"), ("me", "m", "v2")


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="breaker")
def _breaker(clock):
    return CircuitBreaker(clock)


def fail(breaker, times, use=MINE, error=None):
    for _ in range(times):
        breaker.note(use, error or ModRaisedError("kaput", mod="m"))


def test_five_failures_in_a_minute_disable_a_version_for_a_minute(breaker, clock):
    fail(breaker, 4)
    breaker.check(MINE)
    fail(breaker, 1)
    clock.now += 20
    with pytest.raises(ModDisabledError, match="corrected version") as refused:
        breaker.check(MINE)
    clock.now += 41

    assert (refused.value.status_code, refused.value.code) == (503, "mod_disabled")
    assert refused.value.retry_after_s == 40
    breaker.check(MINE)


def test_failures_count_for_one_version_and_one_caller(breaker):
    fail(breaker, 9)

    breaker.check(OTHERS)
    breaker.check(NEXT)


def test_failures_of_more_than_a_minute_are_not_many(breaker, clock):
    for _ in range(20):
        fail(breaker, 1)
        clock.now += 16

    breaker.check(MINE)


def test_a_mod_that_was_disabled_has_five_failures_again(breaker, clock):
    fail(breaker, 5)
    clock.now += 61
    fail(breaker, 4)
    breaker.check(MINE)
    fail(breaker, 1)

    with pytest.raises(ModDisabledError):
        breaker.check(MINE)


@pytest.mark.parametrize(
    "error",
    [
        EmittedError("not this", mod="m"),
        InvalidRequestError("no such parameter"),
        LostWorkerError("restarted", mod="m"),
    ],
    ids=["emitted", "rejected", "lost"],
)
def test_what_is_no_failure_of_the_mod_does_not_count(breaker, error):
    fail(breaker, 9, error=error)

    breaker.check(MINE)


def test_the_failures_of_many_versions_do_not_grow(breaker):
    for i in range(5000):
        fail(breaker, 5, ("me", "m", f"v{i}"))

    assert len(breaker._failures) == len(breaker._disabled_until) == 4096
    breaker.check(("me", "m", "v0"))
