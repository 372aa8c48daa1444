import pytest
from concordance_inference.server.access.attempts import MAX_ADDRESSES, Attempts
from concordance_inference.server.access.errors import TooManyAttemptsError


def fail(attempts, address, times=10):
    for _ in range(times):
        attempts.fail(address)


def test_an_address_is_refused_after_ten_attempts_within_a_minute():
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    fail(attempts, "192.0.2.1")

    now[0] = 20.0
    with pytest.raises(TooManyAttemptsError) as refused:
        attempts.fail("192.0.2.1")
    assert refused.value.retry_after_s == 40.0

    fail(attempts, "192.0.2.2")  # others are not affected
    now[0] = 61.0
    fail(attempts, "192.0.2.1")


def test_addresses_of_one_ipv6_network_are_one():
    attempts = Attempts()
    for i in range(10):
        attempts.fail(f"2001:db8::{i:x}")

    with pytest.raises(TooManyAttemptsError):
        attempts.fail("2001:db8::ffff:1")
    attempts.fail("2001:db8:0:1::1")


def test_the_number_of_addresses_is_bounded():
    attempts = Attempts()
    for i in range(MAX_ADDRESSES + 100):
        attempts.fail(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")

    assert len(attempts._failed) == MAX_ADDRESSES
