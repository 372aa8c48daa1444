"""Sliding windows: what is dropped, how far a row rewinds, and what snapshots bring back."""

import mlx.core as mx
import numpy as np
import pytest
from cache_passes import after, process, with_rows
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.sliding import SlidingGroup
from concordance_sdk import Added, mod
from families import model_named
from tiny import ask, fresh_logits, make_engine, run


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(kv_buffers, "GROWTH", 4)


def attended(group, seen):
    """The keys of each row that its query attends to."""
    mask = np.array(group.buffers.geometry.mask(None, as_array=False))[:, 0, 0]
    return [
        [key for key, is_seen in zip(row, bits, strict=True) if is_seen]
        for row, bits in zip(seen, mask, strict=True)
    ]


def test_a_window_and_a_margin_are_kept():
    group = with_rows(SlidingGroup(4, margin=2), 1)
    for position in range(30):
        seen = process(group, [position], [[position]])
        assert seen == [list(map(float, range(max(0, position - 3), position + 1)))]

    assert group.buffers.capacity <= 4 + 2 + 2 * 4


@pytest.mark.parametrize(("num_tokens", "left"), [(0, 20), (2, 18), (12, 0), (20, 0)])
def test_a_row_rewinds_within_the_margin_and_recomputes_beyond_it(num_tokens, left):
    assert after(20, SlidingGroup(4, margin=2)).reach(0, 20 - num_tokens) == left


def test_a_row_rewinds_to_every_length_before_anything_was_dropped():
    group = after(8, SlidingGroup(4, margin=2))

    assert [group.reach(0, length) for length in range(9)] == list(range(9))


@pytest.mark.parametrize(("length", "reached"), [(30, 30), (15, 10), (10, 10), (9, 9), (7, 0)])
def test_a_pinned_position_can_be_reached_after_it_was_dropped(length, reached):
    group = with_rows(SlidingGroup(4, margin=2), 1)
    group.pin(0, [10])
    for position in range(30):
        process(group, [position], [[position]])

    assert group.reach(0, length) == reached


def test_rewinding_to_a_pinned_position_restores_its_window():
    group = with_rows(SlidingGroup(4, margin=2), 2)
    group.pin(1, [10])
    for position in range(30):
        process(group, [position, position], [[position], [position + 100]])
    group.rewind(1, 10)

    seen = process(group, [30, 10], [[30], [110]])

    assert attended(group, seen)[1] == [107, 108, 109, 110]


def test_a_row_that_has_snapshots_rewinds_to_its_beginning():
    group = with_rows(SlidingGroup(4, margin=2), 1)
    group.pin(0, [10])
    for position in range(30):
        process(group, [position], [[position]])
    group.rewind(0, group.reach(0, 7))

    assert process(group, [0], [[200, 201, 202]]) == [[200, 201, 202]]


def test_rows_whose_windows_start_at_different_positions_attend_to_their_own():
    group = with_rows(SlidingGroup(3, margin=1), 2)
    process(group, [0, 0], [[100 + i for i in range(9)]], slice(0, 1))
    process(group, [9, 0], [[200]], slice(1, 2))
    lengths = [9, 1]
    for step in range(12):
        seen = process(group, lengths, [[109 + step], [201 + step]])
        first, second = attended(group, seen)
        assert first == [107 + step, 108 + step, 109 + step]
        assert second == [200.0 + i for i in range(step + 2)][-3:]
        lengths = [lengths[0] + 1, lengths[1] + 1]


def test_a_deep_backtrack_recomputes_what_the_window_has_dropped():
    model = model_named("gpt_oss")

    fixes = [1]

    @mod(on=[Added], max_backtrack=None)
    def deep(event, actions):
        if event.step == 39 and fixes:
            fixes.pop()
            return actions.backtrack(38, b"instead")

    answers = run(make_engine(model, margin=4), ask("Hello", deep, max_tokens=45))
    ids = list(b"Hello") + list(answers.ids[:9])
    for token_id in answers.ids[9:]:
        assert int(mx.argmax(fresh_logits(model, ids)).item()) == token_id
        ids.append(token_id)
