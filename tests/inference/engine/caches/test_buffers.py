"""Operations on the buffer that all rows of a batch share."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.caches import buffers
from concordance_inference.engine.caches.geometry import Geometry

SLOTS, HEADS, CAPACITY, SIZE = 4, 2, 9, 3


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize("num_tokens", [1, 4])
@pytest.mark.parametrize("rows", [(0, 4), (0, 3), (1, 3), (2, 4), (1, 4)])
def test_rows_are_written_at_their_own_positions(rows, num_tokens, dtype):
    lengths = [5, 0, 3, 2][rows[0] : rows[1]]
    count = len(lengths)
    geometry = Geometry(slice(*rows), lengths, [0] * count, num_tokens, None)
    new = mx.random.normal((count, HEADS, num_tokens, SIZE), key=mx.random.key(1)).astype(dtype)
    empty = mx.full((SLOTS, HEADS, CAPACITY, SIZE), 7, dtype)
    expected = np.full((SLOTS, HEADS, CAPACITY, SIZE), 7.0)
    for i, length in enumerate(lengths):
        expected[rows[0] + i, :, length : length + num_tokens] = np.array(new[i].astype(mx.float32))

    some = buffers.write_ragged(mx.array(empty), geometry.indices(HEADS), new)
    assert some.dtype == dtype
    assert (np.array(some.astype(mx.float32)) == expected).all()
    if count == SLOTS:
        everywhere = buffers.write_all_ragged(mx.array(empty), geometry.write_at, new)
        assert (np.array(everywhere.astype(mx.float32)) == expected).all()


def test_indices_are_built_once_per_pass_and_number_of_heads():
    geometry = Geometry(slice(0, 2), [3, 4], [0, 0], 2, None)

    assert geometry.indices(2) is geometry.indices(2)
    assert [index.dtype for index in geometry.indices(2)] == [mx.int32] * 3
    assert [index.shape for index in geometry.indices(8)] == [(2, 1, 1), (1, 8, 1), (2, 1, 2)]
