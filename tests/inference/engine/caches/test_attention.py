"""What rows hold of keys and values, what they can go back to, and who sees what."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.caches import attention
from concordance_inference.engine.caches.attention import AttentionGroup
from concordance_inference.engine.plan import Pass, RowRead
from concordance_sdk import Added, mod
from families import model_named
from tiny import ask, fresh_logits, make_engine, run


def pass_over(lengths, num_tokens, rows=None):
    """A pass in which neighbouring rows read equally many tokens."""
    rows = rows or slice(0, len(lengths))
    reads = [RowRead(row, lengths[row], num_tokens, None) for row in range(rows.start, rows.stop)]
    return Pass(rows.start, tuple(lengths[rows]), tuple(reads))


def read(group, lengths, values, rows=None):
    """Write `values` (rows x tokens) behind `lengths`; return what the queries may look at."""
    group.begin(pass_over(lengths, len(values[0]), rows))
    data = mx.array(values, mx.float32)[:, None, :, None]
    keys, _ = group.layers[0].update_and_fetch(data, data)
    return keys[:, 0, :, 0].tolist()


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(attention, "GROWTH", 4)


def make_group(num_rows, **options):
    group = AttentionGroup(**options)
    group.add_layer()
    group.rebuild((), num_rows, 99)
    return group


def grown(length, **options):
    """A group of one row that has read as many tokens as asked, one by one."""
    group = make_group(1, **options)
    for position in range(length):
        read(group, [position], [[position]])
    return group


def test_rows_are_written_behind_their_own_lengths():
    group = make_group(2)
    read(group, [0, 0], [[1, 2, 3], [4, 5, 6]])
    seen = read(group, [1, 3], [[7], [8]])

    assert [seen[0][:2], seen[1]] == [[1, 7], [4, 5, 6, 8]]


def test_one_row_can_be_written_alone():
    group = make_group(3)
    read(group, [0, 0, 0], [[1], [2], [3]])

    assert read(group, [1, 1, 1], [[9, 9]], slice(1, 2)) == [[2, 9, 9]]
    assert read(group, [1, 3, 1], [[5]], slice(2, 3)) == [[3, 5]]


def test_a_window_keeps_what_its_queries_see_and_a_margin():
    group = make_group(1, window=4, margin=2)
    for position in range(30):
        seen = read(group, [position], [[position]])
        assert seen == [list(map(float, range(max(0, position - 3), position + 1)))]

    assert group.capacity <= 4 + 2 + 2 * 4


@pytest.mark.parametrize(("back", "left"), [(0, 20), (2, 18), (12, 0), (20, 0)])
def test_going_back_is_possible_as_far_as_keys_are_kept(back, left):
    assert grown(20, window=4, margin=2).reach(0, 20 - back) == left


def test_everything_can_be_reached_before_anything_was_dropped():
    group = grown(8, window=4, margin=2)

    assert [group.reach(0, length) for length in range(9)] == list(range(9))


def test_without_a_window_everything_can_be_reached():
    assert grown(30).reach(0, 7) == 7


@pytest.mark.parametrize(("asked", "reached"), [(30, 30), (15, 10), (10, 10), (9, 9), (7, 0)])
def test_a_pinned_position_can_be_reached_long_after_it_was_left(asked, reached):
    group = make_group(1, window=4, margin=2)
    group.pin(0, [10])
    for position in range(30):
        read(group, [position], [[position]])

    assert group.reach(0, asked) == reached


def test_going_back_to_a_pinned_position_brings_its_keys_back():
    group = make_group(2, window=4, margin=2)
    group.pin(1, [10])
    for position in range(30):
        read(group, [position, position], [[position], [position + 100]])
    group.rewind(1, 10)

    seen = read(group, [30, 10], [[30], [110]])
    mask = np.array(group.geometry.mask(None, as_array=False))[1, 0, 0]

    assert [key for key, is_seen in zip(seen[1], mask, strict=True) if is_seen] == [
        107,
        108,
        109,
        110,
    ]


def test_rows_with_windows_of_their_own_see_their_own_past():
    group = make_group(2, window=3, margin=1)
    lengths = [0, 0]
    read(group, lengths, [[100 + i for i in range(9)]], slice(0, 1))
    lengths = [9, 0]
    read(group, lengths, [[200]], slice(1, 2))
    lengths = [9, 1]
    for step in range(12):
        seen = read(group, lengths, [[109 + step], [201 + step]])
        mask = np.array(group.geometry.mask(None, as_array=False))[:, 0, 0]
        visible = [
            [k for k, m in zip(row, bits, strict=True) if m]
            for row, bits in zip(seen, mask, strict=True)
        ]
        assert visible[0] == [107 + step, 108 + step, 109 + step]
        assert visible[1] == [200.0 + i for i in range(step + 2)][-3:]
        lengths = [lengths[0] + 1, lengths[1] + 1]


def test_rows_can_leave_and_join():
    group = make_group(3)
    read(group, [0, 0, 0], [[1, 1], [2, 2], [3, 3]])
    group.rebuild([2, 1], 1, 99)

    seen = read(group, [2, 2, 0], [[7], [8], [9]])

    assert [seen[0], seen[1], seen[2][:1]] == [[3, 3, 7], [2, 2, 8], [9]]


def test_there_is_room_for_more_rows_than_there_are_and_not_for_many_more():
    group = make_group(1)
    slots = []
    for num_rows in (1, 2, 3, 5, 8, 7, 3, 2, 1):
        group.rebuild(range(min(num_rows, group.num_rows)), max(0, num_rows - group.num_rows), 99)
        read(group, [0] * num_rows, [[1]] * num_rows)
        slots.append(group.layers[0].keys.shape[0])

    assert slots == [1, 2, 4, 8, 8, 8, 8, 2, 2]


def test_some_rows_of_different_lengths_can_be_written_alone():
    group = make_group(4)
    read(group, [0] * 4, [[1, 1], [2, 2], [3, 3], [4, 4]])
    seen = read(group, [2, 1, 2, 2], [[7], [8]], slice(1, 3))
    others = read(group, [2, 2, 3, 2], [[9]] * 4)

    assert [seen[0][:2], seen[1]] == [[2, 7], [3, 3, 8]]
    assert [row[:n] for row, n in zip(others, (3, 3, 4, 3), strict=True)] == [
        [1, 1, 9],
        [2, 7, 9],
        [3, 3, 8, 9],
        [4, 4, 9],
    ]


def test_what_was_read_can_be_put_into_another_row():
    group = make_group(2)
    read(group, [0, 0], [[1, 2, 3], [9, 9, 9]])
    group.write(1, 0, group.read(0, slice(0, 2)))

    assert read(group, [3, 2], [[4], [5]])[1][:3] == [1, 2, 5]


def test_what_was_read_stays_as_it_was_when_its_row_goes_on():
    group = make_group(1)
    read(group, [0], [[1, 2, 3]])
    [(keys, _)] = group.read(0, slice(0, 3))
    read(group, [0], [[7, 8, 9]])

    assert keys[0, 0, :, 0].tolist() == [1, 2, 3]


def test_buffers_are_resized_one_layer_a_step_and_keep_what_they_hold(monkeypatch):
    monkeypatch.setattr(attention, "resize_bytes", lambda: 1)
    group = make_group(1)
    group.add_layer()
    data = mx.array([[[[1.0], [2.0]]]])
    group.begin(pass_over([0], 2))
    for layer in group.layers:
        layer.update_and_fetch(data, data)
    steps = [(group.prepare(2, 50), group.capacity, group.num_slots) for _ in range(2)]

    assert steps == [(False, 4, 1), (True, 52, 2)]
    assert [layer.keys.shape[2] for layer in group.layers] == [52, 52]
    assert all(layer.read(0, slice(0, 2))[0].flatten().tolist() == [1, 2] for layer in group.layers)


def test_buffers_begin_to_grow_before_a_row_has_filled_them(monkeypatch):
    monkeypatch.setattr(attention, "_AHEAD", 2)
    group = grown(2)
    assert group.capacity == 4
    read(group, [2], [[3]])

    assert group.capacity == 8


def test_room_that_no_row_can_use_is_given_back_step_by_step(monkeypatch):
    monkeypatch.setattr(attention, "resize_bytes", lambda: 1)
    group = make_group(1)
    group.add_layer()
    data = mx.zeros((1, 1, 40, 1))
    group.begin(pass_over([0], 40))
    for layer in group.layers:
        layer.update_and_fetch(data, data)
    group.rebuild([0], 0, 10)
    sizes = [layer.keys.shape[2] for layer in group.layers]
    group.begin(pass_over([2], 1))

    assert (group.capacity, sizes) == (12, [12, 40])
    assert [layer.keys.shape[2] for layer in group.layers] == [12, 12]


def test_an_empty_batch_holds_nothing():
    group = make_group(2)
    read(group, [0, 0], [[1], [2]])
    group.rebuild((), 0, 0)

    assert group.layers[0].keys is None
    assert (group.capacity, group.num_bytes) == (0, 0)


def test_what_a_window_has_dropped_is_read_again_and_right():
    """A deep backtrack on a sliding-window model: wrong caches say something else."""
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


def test_rows_move_and_are_kept_beside_a_layer_that_the_model_does_not_write():
    """nemotron-nas makes caches for layers whose attention was replaced."""
    group = make_group(2)
    group.add_layer()
    read(group, [0, 0], [[1, 2, 3], [4, 5, 6]])
    group.rebuild([1], 1, 99)
    kept = group.read(0, slice(0, 3))
    group.write(1, 0, kept)
    seen = read(group, [3, 3], [[7], [8]])

    assert seen == [[4, 5, 6, 7], [4, 5, 6, 8]]
