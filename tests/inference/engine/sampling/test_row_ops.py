"""Some rows of an array: taken out, changed, and put back."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling.row_ops import (
    add_to_rows,
    apply_rows,
    put_rows,
    take_rows,
)

ROWS = [(0,), (3,), (1, 2), (0, 2, 3), (1, 3), (0, 1, 2, 3)]
VALUES = [[10.0 * row + i for i in range(3)] for row in range(4)]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_are_taken_in_order(rows):
    assert take_rows(mx.array(VALUES), rows).tolist() == [VALUES[row] for row in rows]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_are_put_in_their_places_and_the_array_stays_as_it_was(rows):
    values, new = mx.array(VALUES), [[-1.0 - i] * 3 for i in range(len(rows))]
    expected = [*VALUES]
    for row, one in zip(rows, new, strict=True):
        expected[row] = one

    assert put_rows(values, rows, mx.array(new)).tolist() == expected
    assert values.tolist() == VALUES


@pytest.mark.parametrize("rows", ROWS)
def test_only_some_rows_are_changed(rows):
    result = apply_rows(mx.array(VALUES), rows, lambda some: -some)

    assert result.tolist() == [
        [-value for value in values] if row in rows else values for row, values in enumerate(VALUES)
    ]


@pytest.mark.parametrize("rows", ROWS)
def test_values_are_added_to_some_rows_and_the_array_stays_as_it_was(rows):
    values, new = mx.array(VALUES), [[-math.inf, 1.0, float(row)] for row in rows]
    expected = [*VALUES]
    for row, one in zip(rows, new, strict=True):
        expected[row] = [a + b for a, b in zip(VALUES[row], one, strict=True)]

    assert add_to_rows(values, rows, mx.array(new)).tolist() == expected
    assert values.tolist() == VALUES


def test_without_rows_nothing_is_done():
    values = mx.array(VALUES)

    assert apply_rows(values, (), None) is values
