"""Copies of what a row holds: segments that are cut anywhere, snapshots that are not."""

import mlx.core as mx
import pytest
from concordance_inference.engine.caches.recurrent import StateRef, StateSnapshot
from concordance_inference.engine.caches.segments import Segment, Snapshot, agreed_reach
from concordance_inference.engine.caches.sliding import WindowSnapshot


def keys_of(segment):
    return [[keys.flatten().tolist() for keys, _ in part] for part in segment.parts]


def segment_of(*numbers):
    array = mx.array(numbers, mx.float32).reshape(1, 1, len(numbers), 1)
    return Segment((((array, array), (array + 10, array)),))


def test_a_split_segment_has_the_keys_of_both_halves():
    first, rest = segment_of(1, 2, 3).split(1)

    assert keys_of(first) == [[[1], [11]]]
    assert keys_of(rest) == [[[2, 3], [12, 13]]]
    assert first.num_bytes + rest.num_bytes == segment_of(1, 2, 3).num_bytes == 4 * 3 * 4


def test_the_first_tokens_of_a_segment():
    assert keys_of(segment_of(1, 2, 3).first(2)) == [[[1, 2], [11, 12]]]


def window_at(position, *, start, window=4):
    return WindowSnapshot(position, start, window, ())


def state_at(position):
    return StateSnapshot(position, StateRef((), 0))


@pytest.mark.parametrize(
    ("parts", "length", "reached"),
    [
        ([window_at(9, start=3)], 12, 9),
        ([window_at(9, start=3)], 7, 7),
        ([window_at(9, start=3)], 5, 0),
        ([window_at(9, start=0)], 2, 2),
        ([state_at(9)], 9, 9),
        ([state_at(9)], 8, 0),
        ([window_at(9, start=3), state_at(9)], 12, 9),
        ([window_at(9, start=3), state_at(9)], 7, 0),
        ([state_at(9), window_at(9, start=3)], 7, 0),
    ],
)
def test_a_snapshot_reaches_what_every_part_reaches(parts, length, reached):
    assert Snapshot(9, tuple(parts)).reach(length) == reached


def reach_in(*lengths):
    return lambda length: max((n for n in (0, *lengths) if n <= length), default=0)


@pytest.mark.parametrize(
    ("reaches", "length", "agreed"),
    [
        ([], 7, 7),
        ([reach_in(10, 17, 20), reach_in(10, 20)], 17, 10),
        ([reach_in(10, 20), reach_in(10, 17, 20)], 17, 10),
        ([reach_in(5, 9), reach_in(4, 8)], 9, 0),
        ([reach_in(1, 3, 5), reach_in(1, 4), reach_in(1, 2, 5)], 5, 1),
    ],
)
def test_groups_are_queried_until_they_agree_on_a_length(reaches, length, agreed):
    assert agreed_reach(reaches, length) == agreed
