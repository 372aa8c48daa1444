"""Which rows fit into the memory for caches. No arrays."""

import pytest
from concordance_inference.engine.caches.budget import PAST_BYTES, Footprint, KvBudget, num_slots

#: Bytes of a row of 100 tokens at 8 bytes a token, with room for the padding of a pass.
HUNDRED = 8 * 132


def budget(max_bytes, *, max_rows=4, context_length=1000, **footprint):
    return KvBudget(
        Footprint(**{"per_token": 8, **footprint}),
        max_bytes=max_bytes,
        max_rows=max_rows,
        context_length=context_length,
    )


def test_slots_are_a_power_of_two():
    assert [num_slots(n) for n in (0, 1, 2, 3, 5, 8, 9)] == [0, 1, 2, 4, 8, 8, 16]


def test_every_slot_is_as_long_as_the_longest_row():
    assert [budget(0).bytes_of(lengths) for lengths in ([], [100], [100, 10], [100, 10, 1])] == [
        0,
        HUNDRED,
        2 * HUNDRED,
        4 * HUNDRED,
    ]


def test_states_are_counted_by_row_and_windows_by_slot():
    assert budget(0, per_token=0, per_row=50).bytes_of([1, 1000, 7]) == 150
    assert budget(0, per_token=0, per_slot=50).bytes_of([1, 1000, 7]) == 200


def test_lengths_are_rounded_up_to_the_growth_of_buffers():
    assert budget(0, growth=100).bytes_of([100]) == 8 * 200


def test_rows_fit_to_the_byte():
    assert budget(2 * HUNDRED).fits([100, 100])
    assert not budget(2 * HUNDRED - 1).fits([100, 100])


def test_the_longest_row_is_bounded_by_memory_and_by_the_context():
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
        (10, 50, 60),  # as requested
        (10, 5000, 496),  # bounded by memory
        (10, None, 100),  # an equal share of four rows
        (80, None, 160),  # as much as its prompt again
        (300, None, 496),
    ],
)
def test_a_request_can_grow_to_max_tokens_or_to_its_share(prompt_len, max_tokens, length):
    assert budget(4 * HUNDRED).length_of(prompt_len, max_tokens) == length


def test_past_states_are_counted_for_all_rows_and_take_at_most_an_eighth():
    small, large = budget(8000, past=10**6), budget(80_000, past=500)

    assert small.past_bytes == 1000
    assert large.past_bytes == 4 * 500
    assert large.bytes_of([100]) == budget(80_000).bytes_of([100]) + 2000
    assert large.fits([large.longest])
    assert budget(2**60, past=2**40).past_bytes == PAST_BYTES
