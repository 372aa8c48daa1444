"""Where a pass writes its keys, and its attention mask."""

import numpy as np
import pytest
from concordance_inference.engine.caches.geometry import Geometry


def geometry_of(lengths, num_tokens, window=None, starts=None):
    rows = slice(0, len(lengths))
    return Geometry(rows, lengths, starts or [0] * len(lengths), num_tokens, window)


def seen(mask):
    return np.array(mask).astype(int).tolist()


@pytest.mark.parametrize(
    ("num_tokens", "length", "as_array", "expected"),
    [
        (1, 5, False, None),
        (1, 5, True, None),
        (4, 5, False, "causal"),
        (4, 0, False, "causal"),
    ],
)
def test_the_mask_of_a_single_row_is_not_an_array(num_tokens, length, as_array, expected):
    assert geometry_of([length], num_tokens).mask(None, as_array=as_array) == expected


def test_a_causal_mask_as_an_array():
    assert seen(geometry_of([2], 3).mask(None, as_array=True)) == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_a_model_may_request_a_narrower_window():
    assert seen(geometry_of([4], 2).mask(3, as_array=False)) == [
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
    ]


def test_rows_of_different_lengths_attend_to_their_own_past():
    mask = geometry_of([0, 2], 2).mask(None, as_array=False)

    assert seen(mask) == [[[[1, 0, 0, 0], [1, 1, 0, 0]]], [[[1, 1, 1, 0], [1, 1, 1, 1]]]]


def test_rows_with_different_starts_attend_to_their_window():
    mask = geometry_of([9, 2], 1, window=3, starts=[6, 0]).mask(None, as_array=False)

    assert seen(mask) == [[[[0, 1, 1, 1]]], [[[1, 1, 1, 0]]]]


def test_only_the_window_of_a_single_row_is_visible():
    geometry = geometry_of([9], 1, window=3, starts=[4])

    assert geometry.visible == slice(3, 6)
    assert geometry.first_position == 7
    assert geometry.mask(None, as_array=False) is None
