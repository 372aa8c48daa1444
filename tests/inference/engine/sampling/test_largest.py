"""Argmax of each row, computed by blocks."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling import largest
from hypothesis import given, settings
from hypothesis import strategies as st


def argmax(logits):
    return largest.argmax(logits, block_size=4, min_size=0)


def of_row(*logits):
    return argmax(mx.array([logits], mx.float32)).item()


def test_argmax_returns_one_id_for_each_row():
    logits = mx.array([[0.0] * 7 + [1.0], [2.0] + [1.0] * 7])

    assert argmax(logits).tolist() == [[7], [0]]


def test_argmax_of_equal_logits_is_the_lowest_id():
    assert of_row(0, 1, 7, 7, 7, 2, 0, 0) == 2
    assert of_row(*[-math.inf] * 8) == 0


@pytest.mark.parametrize("where", range(8))
def test_argmax_of_a_row_with_nan_is_the_nan(where):
    logits = [float(i) for i in range(8)]
    logits[where] = math.nan

    assert of_row(*logits) == where


def test_argmax_of_a_vocabulary_that_is_not_a_multiple_of_the_block():
    assert of_row(0, 1, 2, 3, 4) == 4


def test_argmax_launches_one_kernel_on_a_gpu(monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.model.device.runs_on_gpu", lambda: True)
    monkeypatch.setattr(mx, "take_along_axis", None)

    assert of_row(*range(8)) == 7


values = st.sampled_from([-math.inf, -1.0, 0.0, 1.0, 2.0])


@settings(deadline=None)
@given(rows=st.lists(st.lists(values, min_size=16, max_size=16), min_size=1, max_size=3))
def test_argmax_equals_that_of_python(rows):
    assert argmax(mx.array(rows)).tolist() == [[row.index(max(row))] for row in rows]
