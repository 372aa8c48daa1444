"""The log of calls that do not return, and waiting for a thread that is in one."""

import logging
import threading

import pytest
from concordance_inference import call_watchdog
from concordance_inference.call_watchdog import CallWatchdog, call_on, wait_unless_stuck
from concordance_sdk import Added, mod
from concordance_sdk.testing import play


@pytest.fixture(name="stuck")
def _stuck():
    """A thread on which a handler waits until it is told to return."""
    entered, leave = threading.Event(), threading.Event()

    @mod(on=[Added], name="waits")
    def waits(event, actions):
        entered.set()
        leave.wait(20)

    thread = threading.Thread(target=lambda: play(waits, says="a"))
    thread.leave = leave
    thread.start()
    assert entered.wait(20)
    yield thread
    leave.set()
    thread.join()


@pytest.fixture(name="watchdog")
def _watchdog(stuck, monkeypatch):
    monkeypatch.setattr(call_watchdog, "REPORT_AFTER_S", 0.0)
    return CallWatchdog(stuck)


def test_a_call_is_logged_at_growing_intervals(watchdog, caplog):
    for _ in range(5):
        watchdog.look()

    lines = [record.getMessage() for record in caplog.records]
    assert 1 <= len(lines) <= 4
    assert lines[0].startswith("mod 'waits' has not returned from Added (step 0) of request")
    assert "all requests wait for it" in lines[0]
    assert "leave.wait(20)" in lines[0]


def test_the_return_of_a_call_is_logged_once(watchdog, stuck, caplog):
    watchdog.look()
    stuck.leave.set()
    stuck.join()
    watchdog.look()
    watchdog.look()

    ends = [r.getMessage() for r in caplog.records if "has returned" in r.getMessage()]
    assert len(ends) == 1
    assert "mod 'waits' has returned from Added of request" in ends[0]


def test_a_call_on_another_thread_is_logged_later(stuck, caplog, monkeypatch):
    watchdog = CallWatchdog(threading.main_thread())
    watchdog.look()
    assert not caplog.records

    monkeypatch.setattr(call_watchdog, "REPORT_ABANDONED_AFTER_S", 0.0)
    watchdog.look()
    assert "its thread keeps running" in caplog.text


def test_waiting_for_a_thread_ends_when_a_call_on_it_has_taken_too_long(stuck):
    call = wait_unless_stuck(stuck, longer_than_s=0.05, poll_s=0.01)

    assert call.mod == "waits"
    stuck.leave.set()
    assert wait_unless_stuck(stuck, longer_than_s=60, poll_s=0.01) is None
    assert call_on(stuck) is None


def test_a_watchdog_that_was_stopped_logs_nothing_more(watchdog, caplog, monkeypatch):
    monkeypatch.setattr(call_watchdog, "_POLL_S", 0.01)
    watchdog.start()
    while "has not returned" not in caplog.text:
        pass
    watchdog.stop()

    assert not watchdog._thread.is_alive()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
