"""`ScriptedLogits`: a row of logits without an array."""

import math

import numpy as np
import pytest
from concordance_sdk.testing import ScriptedLogits
from concordance_shared import AdjustedLogits, column


def wanting(token_id=1, size=3):
    return ScriptedLogits({token_id: 1.0}, vocab_size=size)


def test_row_supports_the_interface_of_logits():
    row = ScriptedLogits([0.0, 2.0, 1.0])

    assert (len(row), row[1], row[-1], row[np.int64(2)]) == (3, 2.0, 1.0, 1.0)
    assert row.top_k(2) == [(1, 2.0), (2, 1.0)]
    assert row.to_numpy().tolist() == [0.0, 2.0, 1.0]
    assert np.asarray(row, np.float64).dtype == np.float64


def test_row_can_be_indexed_as_a_batch_of_one():
    row = ScriptedLogits([0.0, 2.0, 1.0])

    assert (row[0, 1], row[-1, 1], row[:, 1]) == (2.0, 2.0, 2.0)
    assert row[0, :].tolist() == row[:].tolist() == [0.0, 2.0, 1.0]
    assert row[0, 1:].tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ((1, 0), IndexError),
        ((0, 0, 0), IndexError),
        (3, IndexError),
        (-4, IndexError),
        ("a", TypeError),
        (1.5, TypeError),
        ((0, None), TypeError),
    ],
)
def test_other_index_is_rejected(key, error):
    with pytest.raises(error, match=r"logits are|outside"):
        wanting()[key]


def test_column_of_both_kinds_of_index():
    assert column(5) == column((0, 5)) == 5


def test_top_k_starts_with_the_listed_token():
    assert wanting(2, size=4).top_k(3) == [(2, 1.0), (0, 0.0), (1, 0.0)]


def test_token_outside_the_vocabulary_is_an_error():
    with pytest.raises(IndexError, match="token id 3 is outside the vocabulary of 3"):
        wanting(3)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"bias": {0: 5.0, 1: -1.0}}, [5, 0, 0]),
        ({"bias": [5.0, -1.0, 2.0]}, [5, 0, 2]),
        ({"bias": np.array([[5.0, -1.0, -math.inf]])}, [5, 0, -math.inf]),
        ({"allow": (2, 0)}, [0, -math.inf, 0]),
        ({"ban": (1,)}, [0, -math.inf, 0]),
        ({"mask": b"\5"}, [0, -math.inf, 0]),
        ({"logits": [9, 8, 7], "bias": {0: 1.0}, "ban": (2,)}, [10, 8, -math.inf]),
        ({"logits": np.array([[9, 8, 7]])}, [9, 8, 7]),
        ({"logits": np.array([9, 8, 7], np.float32).tobytes()}, [9, 8, 7]),
    ],
)
def test_adjustment_is_applied_to_a_copy(fields, expected):
    row = wanting()

    assert row.adjusted(AdjustedLogits(**fields)).to_numpy().tolist() == expected
    assert row.to_numpy().tolist() == [0, 1, 0]


def test_tokens_that_cannot_be_sampled_are_last():
    assert wanting().adjusted(AdjustedLogits(ban=(1,))).top_k(3)[-1] == (1, -math.inf)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"bias": {2: 1.0}},
        {"bias": {2: 3.0}},
        {"ban": (1,)},
        {"allow": (2,)},
        {"bias": {1: -1.0}},
    ],
)
def test_best_token_is_the_lowest_id_of_ties(fields):
    row = wanting(1, size=4).adjusted(AdjustedLogits(**fields))

    assert row.best == row.top_k(1)[0] == row.best


@pytest.mark.parametrize(
    "fields", [{"ban": (0, 1, 2)}, {"mask": b"\0"}, {"logits": [-math.inf] * 3}]
)
def test_row_without_a_sampleable_token_is_rejected(fields):
    with pytest.raises(ValueError, match="no token is left"):
        wanting().adjusted(AdjustedLogits(**fields))


def test_logprobs_are_those_of_the_log_softmax():
    row = ScriptedLogits({1: math.log(3)}, vocab_size=4)

    assert row.logprobs([1, 0, 1]) == pytest.approx([-math.log(2), -math.log(6), -math.log(2)])
    assert row.logprob(np.int64(3)) == pytest.approx(-math.log(6))
    assert row.adjusted(AdjustedLogits(ban=(1,))).logprobs([0, 1]) == pytest.approx(
        [-math.log(3), -math.inf]
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_array_of_biases_with_nan_or_infinity_is_refused(value):
    with pytest.raises(ValueError, match="NaN or \\+inf"):
        wanting().adjusted(AdjustedLogits(bias=[0.0, value, 0.0]))


def test_entropy_of_equal_logits_is_the_log_of_their_number():
    assert ScriptedLogits([0.0] * 4).entropy() == pytest.approx(math.log(4))
    assert wanting().adjusted(AdjustedLogits(allow=(1,))).entropy() == 0


def test_entropy_of_large_negative_logits_is_finite():
    row = ScriptedLogits([-5000.0, -5000.0]).adjusted(AdjustedLogits(ban=()))

    assert row.entropy() == pytest.approx(math.log(2))


def test_margin_is_the_difference_to_the_kth_logit():
    row = ScriptedLogits([0.0, 2.0, 1.5])

    assert (row.margin(), row.margin(1), row.margin(3)) == (0.5, 0.0, 2.0)
    assert row.margin(4) == wanting().adjusted(AdjustedLogits(allow=(1,))).margin() == math.inf
    with pytest.raises(ValueError, match="k=0"):
        row.margin(0)
