"""Log-probabilities from logits."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.log_softmax import (
    in_blocks,
    log_softmax_at,
    normalizer,
)
from concordance_inference.engine.sampling.logits_row import LogitsRow, RowSource


def oracle(logits):
    logits = np.asarray(logits, np.float64)
    best = logits.max(-1, keepdims=True)
    return logits - best - np.log(np.exp(logits - best).sum(-1, keepdims=True))


def skewed(size, other):
    """A row in which all logits but one are equal: the worst case of a sum in one variable."""
    row = np.full(size, other, np.float32)
    row[5] = 0
    return row


ROWS = {
    "small": lambda size: np.linspace(-3, 4, size, dtype=np.float32),
    "equal": lambda size: np.zeros(size, np.float32),
    "skewed": lambda size: skewed(size, -1.2),
    "very skewed": lambda size: skewed(size, -3.3),
    "large logits": lambda size: np.random.default_rng(0).normal(60, 3, size).astype(np.float32),
    "negative logits": lambda size: np.linspace(-90, -80, size, dtype=np.float32),
    "masked": lambda size: np.where(np.arange(size) % 7, -np.inf, 1.5).astype(np.float32),
    "one token": lambda size: np.where(np.arange(size) == 3, 2.0, -np.inf).astype(np.float32),
}


@pytest.mark.parametrize("size", [8, 127, 50_257, 151_936, 262_144])
@pytest.mark.parametrize("kind", ROWS)
def test_logprobs_equal_those_of_a_float64_log_softmax(kind, size):
    row = ROWS[kind](size)
    ids = [0, 3, 5, size - 1]

    found = log_softmax_at(mx.array(row)[None], mx.array([ids]))[0].tolist()

    assert found == pytest.approx(oracle(row)[ids].tolist(), abs=1e-5)


@pytest.mark.parametrize("kind", ["equal", "skewed", "very skewed", "masked", "one token"])
def test_entropy_equals_that_of_float64(kind):
    row = ROWS[kind](151_936)
    logprobs = oracle(row)
    probs = np.exp(logprobs)
    expected = -(probs * np.where(probs > 0, logprobs, 0)).sum()

    assert LogitsRow(RowSource(mx.array(row)[None], 0)).entropy() == pytest.approx(
        expected, rel=5e-5
    )


def test_rows_of_a_batch_have_the_logprobs_that_they_have_alone():
    rows = mx.random.normal((3, 1001), key=mx.random.key(1)) * 5
    ids = mx.array([[7, 8]] * 3)

    together = log_softmax_at(rows, ids)

    for i in range(3):
        assert log_softmax_at(rows[i : i + 1], ids[:1])[0].tolist() == together[i].tolist()


def test_a_row_with_nan_has_no_logprobs():
    row = mx.array([[1.0, math.nan, 2.0]])

    assert all(map(math.isnan, log_softmax_at(row, mx.array([[0, 1, 2]]))[0].tolist()))


def test_the_reference_is_subtracted_exactly():
    reference, log_sum = normalizer(mx.array([[200.0, 199.0]]))

    assert (200 - reference).item() - log_sum.item() == pytest.approx(-math.log1p(math.exp(-1)))


@pytest.mark.parametrize(("size", "shape"), [(12, (2, 4, 3)), (13, (2, 5, 3)), (1, (2, 1, 1))])
def test_a_row_is_cut_into_about_as_many_blocks_as_a_block_is_wide(size, shape):
    blocks = in_blocks(mx.ones((2, size)), fill=0.0)

    assert blocks.shape == shape
    assert blocks.sum(axis=(1, 2)).tolist() == [size, size]
