"""States of recurrent layers: which are kept, joined and copied."""

import mlx.core as mx
from concordance_inference.engine.caches.recurrent import RecurrentGroup
from concordance_inference.engine.plan import Pass, RowRead
from mlx_lm.models.cache import ArraysCache


def make_group(num_rows):
    group = RecurrentGroup()
    group.add_layer(ArraysCache(2))
    group.rebuild((), num_rows)
    return group


def step(group, lengths, values, rows=None):
    """A pass in which some rows process a token each; their states become `values`.

    Returns the states of all rows of the pass that the layer started from, or `None`.
    """
    rows = range(len(lengths)) if rows is None else rows
    first, last = rows[0], rows[-1]
    reads = tuple(RowRead(row, lengths[row], 1, None) for row in rows)
    group.begin(Pass(first, tuple(lengths[first : last + 1]), reads))
    layer = group.layers[0]
    handed = layer[0]
    covered = last - first + 1
    new = dict(zip(rows, values, strict=True))
    layer[0] = mx.array([[new.get(first + i, -1)] for i in range(covered)])
    layer[1] = 10 * layer[0]
    group.end()
    return None if handed is None else handed[:, 0].tolist()


def test_a_row_starts_without_states_and_continues_from_its_last():
    group = make_group(2)

    assert step(group, [0, 0], [1, 2]) is None
    assert step(group, [1, 1], [3, 4]) == [1, 2]


def test_a_rewound_row_continues_from_an_older_state():
    group = make_group(2)
    for position, values in enumerate(([1, 2], [3, 4], [5, 6])):
        step(group, [position] * 2, values)
    group.rewind(1, 2)

    assert step(group, [3, 2], [7, 8]) == [5, 4]


def test_an_idle_row_of_a_pass_keeps_its_state():
    group = make_group(3)
    step(group, [0] * 3, [1, 2, 3])
    step(group, [1] * 3, [4, 6], rows=[0, 2])

    assert step(group, [2, 1, 2], [7, 8, 9]) == [4, 2, 6]


def test_rows_leave_and_join():
    group = make_group(3)
    step(group, [0] * 3, [1, 2, 3])
    group.rebuild([2, 1], 1)
    step(group, [1, 1, 0], [9], rows=[2])

    assert step(group, [1, 1, 1], [4, 5, 6]) == [3, 2, 9]


def test_states_of_an_unchanged_batch_are_not_copied():
    group = make_group(2)
    step(group, [0, 0], [1, 2])
    left = group.layers[0][0]
    group.begin(Pass(0, (1, 1), (RowRead(0, 1, 1, None), RowRead(1, 1, 1, None))))

    assert group.layers[0][0] is left


def test_fewer_past_states_are_kept_if_they_are_large(monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.caches.recurrent.PAST_BYTES", 3 * 8)
    group = make_group(1)
    step(group, [0], [1])
    group.rebuild((), 1)
    for position in range(9):
        step(group, [position], [position])

    assert [group.reach(0, length) for length in (9, 5, 4)] == [9, 5, 0]


def test_a_snapshot_keeps_no_other_row_alive():
    group = make_group(2)
    group.pin(1, [1])
    step(group, [0, 0], [1, 2])
    kept = group.snapshot(1, 1)

    assert [array.shape for array in kept.states.arrays()] == [(1, 1), (1, 1)]
    assert kept.states.layers[0][0].item() == 2


def test_few_past_states_are_kept_until_their_size_is_known(monkeypatch):
    """Rows are admitted before the first pass, which tells the size."""
    group = make_group(8)
    group.limit_past(0)
    for position in range(6):
        step(group, [position] * 8, [position] * 8)

    assert [group.reach(row, 4) for row in range(8)] == [0] * 8  # 6 and 5 are held
    assert [group.reach(row, 5) for row in range(8)] == [5] * 8


def test_more_past_states_are_kept_once_their_size_is_known():
    group = make_group(1)
    group.limit_past(3 * 8)
    for position in range(9):
        step(group, [position], [position])

    assert [group.reach(0, length) for length in (9, 5, 4)] == [9, 5, 0]


def test_fewer_past_states_of_each_row_are_kept_when_more_rows_run():
    group = make_group(1)
    group.limit_past(6 * 8)
    for position in range(9):
        step(group, [position], [position])
    assert group.reach(0, 2) == 2

    group.rebuild([0], 2)

    assert [group.reach(0, length) for length in (9, 6, 5)] == [9, 6, 0]


def test_memory_of_past_states_is_bounded_before_the_first_pass_too():
    """Rows with large states, admitted together."""
    group = RecurrentGroup()
    group.add_layer(ArraysCache(1))
    group.limit_past(2**20)
    group.rebuild((), 4)
    size = 2**16  # 256 KiB a row: 4 rows x (2 + 1) positions
    alive = []
    for position in range(12):
        reads = tuple(RowRead(row, position, 1, None) for row in range(4))
        group.begin(Pass(0, (position,) * 4, reads))
        group.layers[0][0] = mx.zeros((4, size)) + position
        mx.eval(group.layers[0][0])
        group.end()
        held = {id(a): a for row in group._rows for _, r in row._recent for a in r.arrays()}
        alive.append(sum(array.nbytes for array in held.values()))

    assert max(alive) <= 4 * 2 * 4 * size + 2**20
