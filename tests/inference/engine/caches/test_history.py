"""The past positions of a row that are kept. No arrays."""

import pytest
from concordance_inference.engine.caches.history import History


def history_of(*positions, depth=3, pins=()):
    history = History(depth)
    history.pin(pins)
    for position in positions:
        history.push(position, f"at {position}")
    return history


def test_a_new_history_is_empty():
    history = History(2)

    assert (history.current, history.position, history.reach(9)) == (None, 0, 0)


@pytest.mark.parametrize(("length", "reached"), [(9, 7), (7, 7), (6, 5), (4, 4), (3, 0), (0, 0)])
def test_the_last_positions_can_be_reached(length, reached):
    assert history_of(3, 4, 5, 7).reach(length) == reached


def test_rewinding_restores_what_was_held():
    history = history_of(4, 5, 7)
    history.rewind(5)

    assert (history.position, history.current) == (5, "at 5")
    assert history.reach(9) == 5


def test_a_pinned_position_can_be_reached_after_it_left_the_recent_ones():
    history = history_of(*range(1, 20), pins=[4])

    assert history.reach(10) == 4
    history.rewind(4)
    assert history.current == "at 4"


def test_rewinding_before_a_pinned_position_drops_it():
    history = history_of(2, 4, 5, pins=[4])
    history.rewind(2)

    assert history.reach(9) == 2
    assert history.held_at(4) is None


def test_a_pinned_position_is_replaced_when_it_is_passed_again():
    history = history_of(2, 4, 5, pins=[4])
    history.rewind(2)
    history.push(4, "again")

    assert history.held_at(4) == "again"


def test_rewinding_to_zero_drops_everything():
    history = history_of(2, 4, pins=[4])
    history.rewind(0)

    assert (history.position, history.current) == (0, None)
