"""Selecting, changing and replacing rows of an array."""

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
def test_take_rows_selects_in_order(rows):
    assert take_rows(mx.array(VALUES), rows).tolist() == [VALUES[row] for row in rows]


@pytest.mark.parametrize("rows", ROWS)
def test_put_rows_replaces_rows_in_a_copy(rows):
    values, new = mx.array(VALUES), [[-1.0 - i] * 3 for i in range(len(rows))]
    expected = [*VALUES]
    for row, one in zip(rows, new, strict=True):
        expected[row] = one

    assert put_rows(values, rows, mx.array(new)).tolist() == expected
    assert values.tolist() == VALUES


@pytest.mark.parametrize("rows", ROWS)
def test_apply_rows_changes_the_given_rows_only(rows):
    result = apply_rows(mx.array(VALUES), rows, lambda some: -some)

    assert result.tolist() == [
        [-value for value in values] if row in rows else values for row, values in enumerate(VALUES)
    ]


@pytest.mark.parametrize("rows", ROWS)
def test_add_to_rows_does_not_change_the_original(rows):
    values, new = mx.array(VALUES), [[-math.inf, 1.0, float(row)] for row in rows]
    expected = [*VALUES]
    for row, one in zip(rows, new, strict=True):
        expected[row] = [a + b for a, b in zip(VALUES[row], one, strict=True)]

    assert add_to_rows(values, rows, mx.array(new)).tolist() == expected
    assert values.tolist() == VALUES


def test_without_rows_nothing_is_computed():
    values = mx.array(VALUES)

    assert apply_rows(values, (), None) is values
