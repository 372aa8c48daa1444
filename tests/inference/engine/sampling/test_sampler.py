"""Choosing tokens, for each row by its own parameters."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.draws import NO_TOKEN, TOO_FEW, uniform
from concordance_inference.engine.sampling.sampler import Sampler
from concordance_inference.generation import SamplingParams


def sample(logits, params, draws, xtc_draws=(), temperatures=None, exempt=()):
    sampler = Sampler(params, exempt)
    return sampler.sample(logits, range(len(params)), draws, xtc_draws, temperatures).tolist()


def draw_many(logits, n=4000, **params):
    """How often each token is drawn."""
    draws = [uniform(1, i) for i in range(n)]
    xtc_draws = [uniform(2, i) for i in range(n)] if "xtc_probability" in params else ()
    tokens = sample(mx.array([logits] * n), [SamplingParams(**params)] * n, draws, xtc_draws)
    return np.bincount(np.array(tokens), minlength=len(logits)) / n


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


def test_tokens_that_cannot_be_are_never_drawn():
    assert draw_many([0.0, -math.inf, 0.0])[1] == 0


def test_filters_apply_after_the_temperature():
    flat = draw_many(LOGITS, temperature=100.0, top_p=0.5)

    assert flat[[1, 3]].sum() == 1  # each near a quarter: the two best make up half
    assert draw_many(LOGITS, temperature=0.1, top_p=0.5)[1] == 1


def test_top_choices_are_excluded_as_often_as_asked():
    often = draw_many(LOGITS, xtc_probability=0.5, xtc_threshold=0.25)

    # Half of the time 1 is dropped, since 3 is likely enough and less so: 0.1, 0, 0.2, 0.3 of 0.6.
    assert np.allclose(often, [0.133, 0.2, 0.267, 0.4], atol=0.03)


def test_each_row_has_its_own_parameters():
    params = [
        SamplingParams(temperature=0),
        SamplingParams(top_k=1),
        SamplingParams(),
        SamplingParams(temperature=1.5, min_p=0.99),
    ]

    assert sample(mx.array([LOGITS] * 4), params, [0.99] * 4) == [1, 1, 3, 1]


def test_a_row_does_not_depend_on_its_neighbours():
    logits = mx.random.normal((6, 100), key=mx.random.key(1))
    params = [SamplingParams(temperature=i / 2, top_p=0.9, seed=i) for i in range(6)]
    draws = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2]
    together = sample(logits, params, draws)
    alone = [sample(logits[i : i + 1], params[i : i + 1], draws[i : i + 1])[0] for i in range(6)]

    assert together == alone


def test_a_temperature_of_one_position_wins():
    params = [SamplingParams(temperature=0), SamplingParams(temperature=2)]
    tokens = sample(mx.array([LOGITS] * 2), params, [0.99, 0.99], temperatures={0: 1.0, 1: 0.0})

    assert tokens == [3, 1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "row", [[math.nan] * 4, [-math.inf] * 4, [0.0, math.nan, 1.0, 0.0], [0.0, math.inf, 0.0, 0.0]]
)
def test_where_no_token_can_be_chosen_none_is(row, temperature):
    params = [SamplingParams(temperature=temperature)] * 2
    broken, whole = sample(mx.array([row, LOGITS]), params, [0.5, 0.5])

    assert broken == NO_TOKEN != whole


@pytest.mark.parametrize("draw", [0.0, 0.5, 1 - 2**-24])
def test_the_ends_of_the_unit_interval_are_fine(draw):
    logits = mx.random.normal((1, 50000), key=mx.random.key(2))

    assert 0 <= sample(logits, [SamplingParams()], [draw])[0] < 50000


def test_where_candidates_are_too_few_it_is_said_and_sorting_all_helps(monkeypatch):
    monkeypatch.setattr("concordance_inference.engine.sampling.sampler._CANDIDATES", 2)
    params = [SamplingParams(top_p=0.99), SamplingParams(top_p=0.6), SamplingParams()]
    logits = mx.array([LOGITS] * 3)
    sampler = Sampler(params)

    assert sampler.sample(logits, range(3), [0.99] * 3).tolist() == [TOO_FEW, 3, 3]
    assert sampler.sample(logits, range(3), [0.99] * 3, whole=[0]).tolist() == [3, 3, 3]


def test_rows_of_a_batch_are_sampled_by_their_own_parameters_in_any_selection():
    params = [SamplingParams(temperature=0), SamplingParams(), SamplingParams(top_k=1)]
    logits = mx.array([LOGITS] * 2)

    assert Sampler(params).sample(logits, [1, 2], [0.99, 0.99]).tolist() == [3, 1]
