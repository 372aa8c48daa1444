"""Keys and values of full-attention layers: written after each row's own length."""

import pytest
from cache_passes import after, process, with_rows
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.attention import AttentionGroup


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(kv_buffers, "GROWTH", 4)


def test_rows_are_written_after_their_own_lengths():
    group = with_rows(AttentionGroup(), 2)
    process(group, [0, 0], [[1, 2, 3], [4, 5, 6]])
    seen = process(group, [1, 3], [[7], [8]])

    assert [seen[0][:2], seen[1]] == [[1, 7], [4, 5, 6, 8]]


def test_one_row_can_be_written_alone():
    group = with_rows(AttentionGroup(), 3)
    process(group, [0, 0, 0], [[1], [2], [3]])

    assert process(group, [1, 1, 1], [[9, 9]], slice(1, 2)) == [[2, 9, 9]]
    assert process(group, [1, 3, 1], [[5]], slice(2, 3)) == [[3, 5]]


def test_some_rows_of_different_lengths_can_be_written_alone():
    group = with_rows(AttentionGroup(), 4)
    process(group, [0] * 4, [[1, 1], [2, 2], [3, 3], [4, 4]])
    seen = process(group, [2, 1, 2, 2], [[7], [8]], slice(1, 3))
    others = process(group, [2, 2, 3, 2], [[9]] * 4)

    assert [seen[0][:2], seen[1]] == [[2, 7], [3, 3, 8]]
    assert [row[:n] for row, n in zip(others, (3, 3, 4, 3), strict=True)] == [
        [1, 1, 9],
        [2, 7, 9],
        [3, 3, 8, 9],
        [4, 4, 9],
    ]


def test_a_row_can_rewind_to_every_length():
    group = after(30, AttentionGroup())

    assert [group.reach(0, length) for length in (30, 7, 0)] == [30, 7, 0]


def test_rows_leave_and_join():
    group = with_rows(AttentionGroup(), 3)
    process(group, [0, 0, 0], [[1, 1], [2, 2], [3, 3]])
    group.rebuild([2, 1], 1, 99)

    seen = process(group, [2, 2, 0], [[7], [8], [9]])

    assert [seen[0], seen[1], seen[2][:1]] == [[3, 3, 7], [2, 2, 8], [9]]


def test_a_segment_can_be_written_into_another_row():
    group = with_rows(AttentionGroup(), 2)
    process(group, [0, 0], [[1, 2, 3], [9, 9, 9]])
    group.write(1, 0, group.segment(0, 0, 2))

    assert process(group, [3, 2], [[4], [5]])[1][:3] == [1, 2, 5]


def test_a_segment_is_not_changed_by_later_passes():
    group = with_rows(AttentionGroup(), 1)
    process(group, [0], [[1, 2, 3]])
    [(keys, _)] = group.segment(0, 0, 3)
    process(group, [0], [[7, 8, 9]])

    assert keys[0, 0, :, 0].tolist() == [1, 2, 3]


def test_rows_move_beside_a_layer_that_the_model_does_not_write():
    """nemotron-nas makes caches for layers whose attention was replaced."""
    group = with_rows(AttentionGroup(), 2, num_layers=2)
    process(group, [0, 0], [[1, 2, 3], [4, 5, 6]])
    group.rebuild([1], 1, 99)
    group.write(1, 0, group.segment(0, 0, 3))
    seen = process(group, [3, 3], [[7], [8]])

    assert seen == [[4, 5, 6, 7], [4, 5, 6, 8]]
