"""Values of shared objects that are freed with their request."""

import gc
import weakref

import pytest
from concordance_sdk import Added, ForwardPass, mod
from concordance_sdk.per_request import PerRequest
from concordance_sdk.testing import play


class State:
    def __init__(self, request_id):
        self.request_id = request_id
        self.seen = 0


def test_each_request_has_its_own_value():
    states = PerRequest(State)
    seen = []

    @mod(on=[Added])
    def count(event, actions):
        states[event.request_id].seen += 1
        seen.append(states[event.request_id].seen)

    play(count, script="ab")
    play(count, script="ab")

    assert seen == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("fails", [False, True])
def test_value_is_freed_with_the_request_however_that_ended(fails):
    """And although the mod never asks to be told of the end."""
    states = PerRequest(State)
    refs = []

    @mod(on=[ForwardPass])
    def keep(event, actions):
        refs.append(weakref.ref(states[event.request_id]))
        if fails:
            return actions.emit_error("enough")

    try:
        play(keep, script="a")
    except Exception as exc:
        exc.__traceback__ = None
        exc.__cause__ = None
    gc.collect()

    assert refs
    assert all(ref() is None for ref in refs)
    assert states.get("played") is None


def test_value_made_outside_of_a_handler_is_kept_until_release():
    states = PerRequest(State)
    states["r"].seen = 7
    gc.collect()
    assert states["r"].seen == 7

    states.release("r")
    assert states.get("r") is None


def test_put_replaces_a_value():
    states = PerRequest(State)
    states["r"].seen = 7
    states.put("r", State("r"))

    assert states["r"].seen == 0
