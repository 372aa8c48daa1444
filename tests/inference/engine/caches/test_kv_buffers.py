"""The size of buffers: when they grow and shrink, and how many layers a step resizes."""

import mlx.core as mx
import pytest
from cache_passes import after, pass_over, process, with_rows
from concordance_inference.engine.caches import kv_buffers
from concordance_inference.engine.caches.attention import AttentionGroup


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(kv_buffers, "GROWTH", 4)


def write_all_layers(group, data):
    group.begin(pass_over([0] * data.shape[0], data.shape[2]))
    for layer in group.buffers.layers:
        layer.update_and_fetch(data, data)


def test_slots_are_a_power_of_two_and_are_kept_for_a_batch_a_quarter_full():
    group = with_rows(AttentionGroup(), 1)
    slots = []
    for num_rows in (1, 2, 3, 5, 8, 7, 3, 2, 1):
        before = group.buffers.num_rows
        group.rebuild(range(min(num_rows, before)), max(0, num_rows - before), 99)
        process(group, [0] * num_rows, [[1]] * num_rows)
        slots.append(group.buffers.layers[0].keys.shape[0])

    assert slots == [1, 2, 4, 8, 8, 8, 8, 2, 2]


def test_one_layer_is_resized_a_step_and_keys_are_kept(monkeypatch):
    monkeypatch.setattr(kv_buffers, "resize_bytes", lambda: 1)
    group = with_rows(AttentionGroup(), 1, num_layers=2)
    write_all_layers(group, mx.array([[[[1.0], [2.0]]]]))
    buffers = group.buffers
    steps = [(group.prepare(2, 50), buffers.capacity, buffers.num_slots) for _ in range(2)]

    assert steps == [(False, 4, 1), (True, 52, 2)]
    assert [layer.keys.shape[2] for layer in buffers.layers] == [52, 52]
    assert [keys.flatten().tolist() for keys, _ in buffers.read(0, slice(0, 2))] == [[1, 2]] * 2


def test_rows_move_between_layers_that_are_resized_and_layers_that_are_not(monkeypatch):
    monkeypatch.setattr(kv_buffers, "resize_bytes", lambda: 1)
    group = with_rows(AttentionGroup(), 2, num_layers=2)
    write_all_layers(group, mx.array([[[[1.0], [2.0]]], [[[3.0], [4.0]]]]))
    group.prepare(2, 50)
    group.rebuild([1], 1, 99)

    assert [layer.keys.shape[2] for layer in group.buffers.layers] == [52, 4]
    assert group.buffers.capacity == 4
    held = group.buffers.read(0, slice(0, 2))
    assert [keys.flatten().tolist() for keys, _ in held] == [[3, 4]] * 2


def test_longer_buffers_wait_for_rows_to_move_to_lower_slots():
    group = with_rows(AttentionGroup(), 5)
    write_all_layers(group, mx.arange(10.0).reshape(5, 1, 2, 1))

    assert not group.prepare(4, 50)  # two rows have ended, and one is to be admitted
    group.rebuild([4, 2, 3], 0, 99)
    assert group.prepare(4, 50)
    group.rebuild([0, 1, 2], 1, 99)
    held = [group.buffers.read(row, slice(0, 2))[0][0].flatten().tolist() for row in range(3)]
    assert held == [[8, 9], [4, 5], [6, 7]]


def test_buffers_start_to_grow_before_a_row_has_filled_them(monkeypatch):
    monkeypatch.setattr(kv_buffers, "_AHEAD", 2)
    group = after(2, AttentionGroup())
    assert group.buffers.capacity == 4
    process(group, [2], [[3]])

    assert group.buffers.capacity == 8


def test_capacity_beyond_the_longest_row_is_released_step_by_step(monkeypatch):
    monkeypatch.setattr(kv_buffers, "resize_bytes", lambda: 1)
    group = with_rows(AttentionGroup(), 1, num_layers=2)
    write_all_layers(group, mx.zeros((1, 1, 40, 1)))
    group.rebuild([0], 0, 10)
    sizes = [layer.keys.shape[2] for layer in group.buffers.layers]
    group.begin(pass_over([2], 1))

    assert (group.buffers.capacity, sizes) == (12, [12, 40])
    assert [layer.keys.shape[2] for layer in group.buffers.layers] == [12, 12]


def test_an_empty_batch_has_no_buffers():
    group = with_rows(AttentionGroup(), 2)
    process(group, [0, 0], [[1], [2]])
    group.rebuild((), 0, 0)

    assert group.buffers.layers[0].keys is None
    assert (group.buffers.capacity, group.arrays()) == (0, [])
