"""A call of a mod's code, found in the stack of a thread."""

import sys
import threading

import pytest
from concordance_sdk import Added, mod
from concordance_sdk.host.call_in_progress import call_in_progress
from concordance_sdk.testing import play


@pytest.fixture(name="waiting")
def _waiting():
    """Play a mod whose handler waits on another thread, and find its call."""
    entered, leave = threading.Event(), threading.Event()

    @mod(on=[Added], name="waits")
    def waits(event, actions):
        if event.step == 1:
            entered.set()
            leave.wait(20)

    thread = threading.Thread(target=lambda: play(waits, says="abc"))
    thread.start()
    assert entered.wait(20)
    yield lambda **options: call_in_progress(sys._current_frames().get(thread.ident), **options)
    leave.set()
    thread.join()


def test_the_call_has_the_mod_the_event_the_step_and_the_stack_of_its_own_code(waiting):
    call = waiting()

    assert (call.mod, call.event, call.step) == ("waits", "Added", 1)
    assert call.request_id.startswith("played-")
    assert "in waits\n    leave.wait(20)" in call.stack
    assert "instance.py" not in call.stack
    assert "mod 'waits' has not returned from Added (step 1) of request 'played-" in str(call)


def test_a_call_that_is_shorter_than_the_limit_is_ignored(waiting):
    assert waiting(longer_than_s=60) is None
    assert waiting(longer_than_s=0).started == waiting().started


def test_a_thread_outside_of_mods_has_no_call():
    assert call_in_progress(sys._getframe()) is None
    assert call_in_progress(None) is None
