"""Some rows of an array: taken out, changed, and put back."""

from collections.abc import Callable, Sequence

import mlx.core as mx


def taken(values: mx.array, rows: Sequence[int]) -> mx.array:
    """Some rows of an array, in ascending order.  (n, ...) -> (rows, ...)"""
    return values if len(rows) == values.shape[0] else values[mx.array(list(rows))]


def put(values: mx.array, rows: Sequence[int], new: mx.array) -> mx.array:
    """The array with some of its rows replaced.  (n, ...), (rows, ...) -> (n, ...)"""
    if len(rows) == values.shape[0]:
        return new
    changed = mx.array(values)
    changed[mx.array(list(rows))] = new
    return changed


def changed(
    values: mx.array, rows: Sequence[int], change: Callable[[mx.array], mx.array]
) -> mx.array:
    """The array with a function applied to some of its rows."""
    return put(values, rows, change(taken(values, rows))) if rows else values
