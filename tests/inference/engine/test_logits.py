"""A row of scores as a mod sees it."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.logits import LogitsRow
from concordance_shared import AdjustedLogits


def row(*scores):
    return LogitsRow(mx.array([float(s) for s in scores]))


def adjusted(*scores, **fields):
    return row(*scores).adjusted(AdjustedLogits(**fields))


def test_a_row_reads_in_every_way():
    r = row(1, 3, 2)

    assert (len(r), r[1], r[-1]) == (3, 3.0, 2.0)
    assert r.to_numpy().tolist() == [1, 3, 2]
    assert r.to_numpy().dtype == np.float32
    assert np.asarray(r).argmax() == 1


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_the_best_come_first(k):
    assert row(1, 3, 2).top_k(k) == [(1, 3.0), (2, 2.0), (0, 1.0)][:k]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"bias": {0: 5.0, 2: -1.0}}, [6, 3, 1]),
        ({"allow": (2, 0)}, [1, -math.inf, 2]),
        ({"ban": (1,)}, [1, -math.inf, 2]),
        ({"ban": ()}, [1, 3, 2]),
        ({"mask": b"\5"}, [1, -math.inf, 2]),
        ({"logits": [9, 8, 7]}, [9, 8, 7]),
        ({"logits": np.array([[9, 8, 7]], np.float64)}, [9, 8, 7]),
        ({"logits": np.array([9, 8, 7], np.float32).tobytes()}, [9, 8, 7]),
        ({"logits": mx.array([9, 8, 7])}, [9, 8, 7]),
        ({"logits": [9, 8, 7], "bias": {0: 1.0}, "ban": (2,)}, [10, 8, -math.inf]),
    ],
)
def test_an_adjustment_is_applied(fields, expected):
    assert adjusted(1, 3, 2, **fields).row.tolist() == expected


def test_an_adjustment_leaves_the_row_as_it_was():
    before = row(1, 3, 2)
    before.adjusted(AdjustedLogits(ban=(1,), bias={0: 9.0}, allow=(1,)))

    assert before.row.tolist() == [1, 3, 2]


def test_a_mask_shorter_than_the_models_vocabulary_forbids_the_rest():
    assert adjusted(*range(12), mask=b"\xff").row.tolist()[7:] == [7] + [-math.inf] * 4


def test_temperatures_compose_the_last_one_wins():
    r = adjusted(1, 2, token_temp=0.5).adjusted(AdjustedLogits(ban=(0,)))

    assert r.token_temp == 0.5
    assert r.adjusted(AdjustedLogits(token_temp=0.0)).token_temp == 0.0


@pytest.mark.parametrize("bad", [[math.nan, 1], [math.inf, 1], [-math.inf, -math.inf]])
def test_a_row_that_cannot_be_sampled_from_is_refused(bad):
    with pytest.raises(ValueError, match="NaN|no token"):
        adjusted(1, 2, logits=bad)
