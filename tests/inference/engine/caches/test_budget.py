"""How many rows of which lengths fit. No arrays."""

import pytest
from concordance_inference.engine.caches.budget import PAST_BYTES, Footprint, KvBudget, num_slots

#: What one row of 100 tokens takes at 8 bytes a token, with room for what a pass writes behind it.
HUNDRED = 8 * 132


def budget(max_bytes, *, max_rows=4, context_length=1000, **footprint):
    return KvBudget(
        Footprint(**{"per_token": 8, **footprint}),
        max_bytes=max_bytes,
        max_rows=max_rows,
        context_length=context_length,
    )


def test_there_is_room_for_a_power_of_two_of_rows():
    assert [num_slots(n) for n in (0, 1, 2, 3, 5, 8, 9)] == [0, 1, 2, 4, 8, 8, 16]


def test_rows_take_as_much_as_the_longest():
    assert [budget(0).bytes_of(lengths) for lengths in ([], [100], [100, 10], [100, 10, 1])] == [
        0,
        HUNDRED,
        2 * HUNDRED,
        4 * HUNDRED,
    ]


def test_states_are_counted_by_row_and_windows_by_what_there_is_room_for():
    assert budget(0, per_token=0, per_row=50).bytes_of([1, 1000, 7]) == 150
    assert budget(0, per_token=0, per_slot=50).bytes_of([1, 1000, 7]) == 200


def test_buffers_grow_in_steps():
    assert budget(0, growth=100).bytes_of([100]) == 8 * 200


def test_what_fits_fits_to_the_byte():
    assert budget(2 * HUNDRED).fits([100, 100])
    assert not budget(2 * HUNDRED - 1).fits([100, 100])


def test_the_longest_row_is_what_fits_alone_or_the_context():
    assert budget(HUNDRED).longest == 100
    assert budget(10**9).longest == 1000
    assert budget(100, per_row=101).longest == 0
    assert budget(100, per_token=0).longest == 1000


@pytest.mark.parametrize("growth", [1, 16, 100])
def test_the_longest_row_fits_and_a_longer_one_does_not(growth):
    one = budget(3000, growth=growth)

    assert one.fits([one.longest])
    assert not one.fits([one.longest + 1])


@pytest.mark.parametrize(
    ("prompt_len", "max_tokens", "length"),
    [
        (10, 50, 60),  # what was asked for
        (10, 5000, 496),  # as far as there is room at all
        (10, None, 100),  # its share of four rows
        (80, None, 160),  # as much as its prompt again
        (300, None, 496),
    ],
)
def test_a_request_can_grow_to_what_it_asked_for_or_its_share(prompt_len, max_tokens, length):
    assert budget(4 * HUNDRED).length_of(prompt_len, max_tokens) == length


def test_past_states_count_for_all_rows_and_take_an_eighth_at_most():
    small, large = budget(8000, past=10**6), budget(80_000, past=500)

    assert small.past_bytes == 1000
    assert large.past_bytes == 4 * 500
    assert large.bytes_of([100]) == budget(80_000).bytes_of([100]) + 2000
    assert large.fits([large.longest])
    assert budget(2**60, past=2**40).past_bytes == PAST_BYTES
