"""Selects, changes and replaces some rows of an array.

Consecutive rows are handled as one slice: reading it is a view, and writing it is several times
faster on a CPU than writing rows by index. Rows 2 3 4 7 are the slices 2:5 and 7:8.
"""

from collections.abc import Callable, Sequence

import mlx.core as mx


def take_rows(values: mx.array, rows: Sequence[int]) -> mx.array:
    """Select rows, given in ascending order.  (n, ...) -> (rows, ...)"""
    if len(rows) == values.shape[0]:
        return values
    runs = _runs(rows)
    return values[runs[0]] if len(runs) == 1 else values[mx.array(list(rows))]


def put_rows(values: mx.array, rows: Sequence[int], new: mx.array) -> mx.array:
    """Replace rows, given in ascending order, in a copy.  (n, ...) -> (n, ...)"""
    if len(rows) == values.shape[0]:
        return new
    changed, at = mx.array(values), 0
    for run in _runs(rows):
        size = run.stop - run.start
        changed[run] = new[at : at + size]
        at += size
    return changed


def apply_rows(
    values: mx.array, rows: Sequence[int], change: Callable[[mx.array], mx.array]
) -> mx.array:
    """Apply a function to some rows, in a copy.  (n, ...) -> (n, ...)"""
    return put_rows(values, rows, change(take_rows(values, rows))) if rows else values


def add_to_rows(values: mx.array, rows: Sequence[int], new: mx.array) -> mx.array:
    """Add to rows, given in ascending order.  (n, ...) -> (n, ...)

    mlx does this in place if nothing else refers to the array, unlike `apply_rows`, which reads the
    rows that it writes.

    Args:
        values: (n, ...)
        rows: Rows, at least one.
        new: (rows, ...)
    """
    if len(rows) == values.shape[0]:
        return values + new
    at = 0
    for run in _runs(rows):
        size = run.stop - run.start
        values = values.at[run].add(new[at : at + size])
        at += size
    return values


def _runs(rows: Sequence[int]) -> list[slice]:
    """Split row numbers into slices of consecutive ones."""
    runs: list[slice] = []
    for row in rows:
        if runs and runs[-1].stop == row:
            runs[-1] = slice(runs[-1].start, row + 1)
        else:
            runs.append(slice(row, row + 1))
    return runs
