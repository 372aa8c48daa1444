"""What a row held at past positions. No arrays."""

import pytest
from concordance_inference.engine.caches.history import History


def history_of(*positions, depth=3, pins=()):
    history = History(depth)
    history.pin(pins)
    for position in positions:
        history.push(position, f"at {position}")
    return history


def test_it_holds_nothing_at_first():
    history = History(2)

    assert (history.current, history.position, history.reach(9)) == (None, 0, 0)


@pytest.mark.parametrize(("asked", "reached"), [(9, 7), (7, 7), (6, 5), (4, 4), (3, 0), (0, 0)])
def test_the_last_positions_can_be_reached(asked, reached):
    assert history_of(3, 4, 5, 7).reach(asked) == reached


def test_going_back_finds_what_was_held():
    history = history_of(4, 5, 7)
    history.rewind(5)

    assert (history.position, history.current) == (5, "at 5")
    assert history.reach(9) == 5


def test_a_pinned_position_can_be_reached_long_after():
    history = history_of(*range(1, 20), pins=[4])

    assert history.reach(10) == 4
    history.rewind(4)
    assert history.current == "at 4"


def test_going_back_before_a_pinned_position_forgets_what_was_held_there():
    history = history_of(2, 4, 5, pins=[4])
    history.rewind(2)

    assert history.reach(9) == 2
    assert history.held_at(4) is None


def test_a_pinned_position_that_is_reached_again_is_what_it_was_last():
    history = history_of(2, 4, 5, pins=[4])
    history.rewind(2)
    history.push(4, "again")

    assert history.held_at(4) == "again"


def test_going_back_to_the_beginning_leaves_nothing():
    history = history_of(2, 4, pins=[4])
    history.rewind(0)

    assert (history.position, history.current) == (0, None)
