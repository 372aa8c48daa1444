"""Choosing tokens: pure functions of logits, parameters and draws."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.draws import NO_TOKEN, uniform
from concordance_inference.engine.sampler import SamplingArrays, keep_likely, sample
from concordance_inference.generation import SamplingParams


def draw_many(logits, n=4000, **params):
    """How often each token is drawn."""
    rows = mx.array([logits] * n)
    arrays = SamplingArrays([SamplingParams(**params)] * n)
    tokens = sample(rows, arrays, mx.array([uniform(1, i) for i in range(n)]))
    return np.bincount(np.array(tokens), minlength=len(logits)) / n


def kept(logits, top_k=2**31 - 1, top_p=1.0, min_p=0.0):
    cut = keep_likely(mx.array([logits]), mx.array([top_k]), mx.array([top_p]), mx.array([min_p]))
    return [i for i, score in enumerate(cut[0].tolist()) if score > -math.inf]


LOGITS = [math.log(p) for p in (0.1, 0.4, 0.2, 0.3)]


def test_zero_temperature_takes_the_best_token():
    assert draw_many(LOGITS, n=3, temperature=0).tolist() == [0, 1, 0, 0]


def test_draws_follow_the_probabilities():
    assert np.allclose(draw_many(LOGITS), [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_temperature_flattens_and_sharpens():
    flat = np.array([0.1, 0.4, 0.2, 0.3]) ** 0.5
    sharp = np.array([0.1, 0.4, 0.2, 0.3]) ** 2

    assert np.allclose(draw_many(LOGITS, temperature=2.0), flat / flat.sum(), atol=0.03)
    assert np.allclose(draw_many(LOGITS, temperature=0.5), sharp / sharp.sum(), atol=0.03)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"top_k": 1}, [1]),
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"top_p": 0.0}, [1]),
        ({"top_p": 0.39}, [1]),
        ({"top_p": 0.41}, [1, 3]),
        ({"top_p": 0.71}, [1, 2, 3]),
        ({"min_p": 0.6}, [1, 3]),
        ({"min_p": 1.0}, [1]),
        ({"top_k": 3, "top_p": 0.45}, [1, 3]),  # 0.4 / 0.9 = 0.444 < 0.45
        ({"top_k": 3, "top_p": 0.44}, [1]),
    ],
)
def test_filters_keep_the_likely(filters, expected):
    assert kept(LOGITS, **filters) == expected


def test_filters_keep_the_best_of_any_row():
    rows = mx.random.normal((50, 300), key=mx.random.key(0))
    cut = keep_likely(rows, mx.full((50,), 5), mx.full((50,), 0.3), mx.full((50,), 0.2))

    assert (mx.argmax(cut, axis=-1) == mx.argmax(rows, axis=-1)).all().item()
    assert ((cut > -mx.inf).sum(axis=-1) <= 5).all().item()


def test_tokens_that_cannot_be_stay_impossible():
    assert kept([0.0, -math.inf, 1.0], top_p=1.0) == [0, 2]
    assert draw_many([0.0, -math.inf, 0.0])[1] == 0


def test_each_row_has_its_own_parameters():
    params = [
        SamplingParams(temperature=0),
        SamplingParams(top_k=1),
        SamplingParams(),
        SamplingParams(temperature=1.5, min_p=0.99),
    ]
    tokens = sample(mx.array([LOGITS] * 4), SamplingArrays(params), mx.array([0.99] * 4))

    assert tokens.tolist() == [1, 1, 3, 1]


def test_a_row_does_not_depend_on_its_neighbours():
    logits = mx.random.normal((6, 100), key=mx.random.key(1))
    params = [SamplingParams(temperature=i / 2, top_p=0.9, seed=i) for i in range(6)]
    draws = mx.array([0.1, 0.9, 0.5, 0.3, 0.7, 0.2])
    together = sample(logits, SamplingArrays(params), draws).tolist()
    alone = [
        sample(logits[i : i + 1], SamplingArrays(params[i : i + 1]), draws[i : i + 1]).item()
        for i in range(6)
    ]

    assert together == alone


def test_a_temperature_of_one_position_wins():
    arrays = SamplingArrays([SamplingParams(temperature=0)] * 2)
    tokens = sample(mx.array([LOGITS] * 2), arrays, mx.array([0.99, 0.99]), mx.array([0.0, 1.0]))

    assert tokens.tolist() == [1, 3]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "row", [[math.nan] * 4, [-math.inf] * 4, [0.0, math.nan, 1.0, 0.0], [0.0, math.inf, 0.0, 0.0]]
)
def test_where_no_token_can_be_chosen_none_is(row, temperature):
    arrays = SamplingArrays([SamplingParams(temperature=temperature)] * 2)
    tokens = sample(mx.array([row, LOGITS]), arrays, mx.array([0.5, 0.5]))

    assert tokens.tolist()[0] == NO_TOKEN
    assert tokens.tolist()[1] != NO_TOKEN


@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-24])
def test_the_ends_of_the_unit_interval_are_fine(draw):
    logits = mx.random.normal((1, 50000), key=mx.random.key(2))
    arrays = SamplingArrays([SamplingParams()])

    assert 0 <= sample(logits, arrays, mx.array([draw])).item() < 50000
