"""How many rows of which lengths fit. No arrays."""

import pytest
from concordance_inference.engine.kv_budget import Footprint, KvBudget


def budget(max_bytes, *, per_token=8, per_row=0, max_rows=4, context_length=1000):
    return KvBudget(
        Footprint(per_token=per_token, per_row=per_row),
        max_bytes=max_bytes,
        max_rows=max_rows,
        context_length=context_length,
    )


def test_rows_take_as_much_as_the_longest_and_room_for_a_power_of_two():
    assert [budget(0).bytes_of(lengths) for lengths in ([], [100], [100, 10], [100, 10, 1])] == [
        0,
        900,
        1800,
        3600,
    ]


def test_states_and_windows_are_counted_once_a_row():
    assert budget(0, per_token=0, per_row=50).bytes_of([1, 1000, 7]) == 150


def test_what_fits_fits_to_the_byte():
    assert budget(1800).fits([100, 100])
    assert not budget(1799).fits([100, 100])


def test_the_longest_row_is_what_fits_alone_or_the_context():
    assert budget(900).longest == 100
    assert budget(10**9).longest == 1000
    assert budget(100, per_row=101).longest == 0


@pytest.mark.parametrize(
    ("prompt_len", "max_tokens", "length"),
    [
        (10, 50, 60),  # what was asked for
        (10, 5000, 400),  # as far as there is room at all
        (10, None, 100),  # its share of four rows
        (80, None, 160),  # as much as its prompt again
        (300, None, 400),
    ],
)
def test_a_request_can_grow_to_what_it_asked_for_or_its_share(prompt_len, max_tokens, length):
    assert budget(3600).length_of(prompt_len, max_tokens) == length
