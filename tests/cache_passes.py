"""Forward passes over a group of attention layers, without a model."""

import mlx.core as mx
from concordance_inference.engine.plan import Pass, RowRead


def pass_over(lengths, num_tokens, rows=None):
    """Return a pass in which consecutive rows process equal numbers of tokens."""
    rows = rows or slice(0, len(lengths))
    reads = [RowRead(row, lengths[row], num_tokens, None) for row in range(rows.start, rows.stop)]
    return Pass(rows.start, tuple(lengths[rows]), tuple(reads))


def process(group, lengths, values, rows=None):
    """Write `values` (rows x tokens) after `lengths`; return the keys in reach of queries."""
    group.begin(pass_over(lengths, len(values[0]), rows))
    data = mx.array(values, mx.float32)[:, None, :, None]
    keys, _ = group.buffers.layers[0].update_and_fetch(data, data)
    return keys[:, 0, :, 0].tolist()


def with_rows(group, num_rows, *, num_layers=1):
    """Return the group with layers and empty rows."""
    for _ in range(num_layers):
        group.add_layer()
    group.rebuild((), num_rows, 99)
    return group


def after(length, group):
    """Return the group with one row that has processed `length` tokens, one at a time."""
    group = with_rows(group, 1)
    for position in range(length):
        process(group, [position], [[position]])
    return group
