"""States of recurrent layers: kept, picked, joined, and copied only where they must be."""

import mlx.core as mx
from concordance_inference.engine.caches.recurrent import RecurrentGroup
from concordance_inference.engine.plan import Pass, RowRead


def make_group(num_rows):
    group = RecurrentGroup()
    group.add_layer(2)
    group.rebuild((), num_rows)
    return group


def step(group, lengths, values, rows=None):
    """A pass in which some rows read a token each; their states become `values`.

    Returns what the layer was handed: the states of all rows that were covered, or `None`.
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


def test_a_row_begins_with_nothing_and_goes_on_from_what_it_left():
    group = make_group(2)

    assert step(group, [0, 0], [1, 2]) is None
    assert step(group, [1, 1], [3, 4]) == [1, 2]


def test_going_back_goes_on_from_an_older_state():
    group = make_group(2)
    for position, values in enumerate(([1, 2], [3, 4], [5, 6])):
        step(group, [position] * 2, values)
    group.rewind(1, 2)

    assert step(group, [3, 2], [7, 8]) == [5, 4]


def test_a_row_that_rides_along_keeps_its_state():
    group = make_group(3)
    step(group, [0] * 3, [1, 2, 3])
    step(group, [1] * 3, [4, 6], rows=[0, 2])

    assert step(group, [2, 1, 2], [7, 8, 9]) == [4, 2, 6]


def test_rows_can_leave_and_join():
    group = make_group(3)
    step(group, [0] * 3, [1, 2, 3])
    group.rebuild([2, 1], 1)
    step(group, [1, 1, 0], [9], rows=[2])

    assert step(group, [1, 1, 1], [4, 5, 6]) == [3, 2, 9]


def test_rows_that_run_together_step_after_step_are_not_copied():
    group = make_group(2)
    step(group, [0, 0], [1, 2])
    left = group.layers[0][0]
    group.begin(Pass(0, (1, 1), (RowRead(0, 1, 1, None), RowRead(1, 1, 1, None))))

    assert group.layers[0][0] is left


def test_large_states_are_held_for_fewer_positions(monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.caches.recurrent.PAST_BYTES", 3 * 8)
    group = make_group(1)
    step(group, [0], [1])
    group.rebuild((), 1)
    for position in range(9):
        step(group, [position], [position])

    assert [group.reach(0, length) for length in (9, 5, 4)] == [9, 5, 0]


def test_what_is_kept_of_a_row_keeps_no_other_row_alive():
    group = make_group(2)
    group.pin(1, [1])
    step(group, [0, 0], [1, 2])
    kept = group.snapshot(1, 1)

    assert [array.shape for array in kept.arrays()] == [(1, 1), (1, 1)]
    assert kept.layers[0][0].item() == 2


def test_a_row_holds_few_states_until_their_size_is_known(monkeypatch):
    """The size is that of this group's own first pass: rows are admitted before it."""
    group = make_group(8)
    group.held_bytes = 0
    for position in range(6):
        step(group, [position] * 8, [position] * 8)

    assert [group.reach(row, 4) for row in range(8)] == [0] * 8  # 6 and 5 are held
    assert [group.reach(row, 5) for row in range(8)] == [5] * 8


def test_rows_hold_more_states_once_their_size_is_known():
    group = make_group(1)
    group.held_bytes = 3 * 8
    for position in range(9):
        step(group, [position], [position])

    assert [group.reach(0, length) for length in (9, 5, 4)] == [9, 5, 0]


def test_rows_hold_fewer_states_each_when_more_rows_run():
    group = make_group(1)
    group.held_bytes = 6 * 8
    for position in range(9):
        step(group, [position], [position])
    assert group.reach(0, 2) == 2

    group.rebuild([0], 2)

    assert [group.reach(0, length) for length in (9, 6, 5)] == [9, 6, 0]


def test_past_states_of_a_batch_are_bounded_from_the_first_admission_on():
    """Rows of a large state, admitted together before any pass: what is alive is bounded."""
    group = RecurrentGroup()
    group.add_layer(1)
    group.held_bytes = 2**20
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

    assert max(alive) <= 4 * 2 * 4 * size + group.held_bytes
