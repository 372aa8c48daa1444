"""Sampling tokens, each row with its own parameters."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.rng import NO_TOKEN, TOO_FEW, draw_key, uniform
from concordance_inference.engine.sampling.sampler import MIN_TEMPERATURE, Sampler
from concordance_inference.generation import SamplingParams
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gumbel import gumbel, key_of


def sample(logits, params, keys=None, xtc_draws=(), temperatures=None, exempt=()):
    sampler = Sampler(params, exempt)
    keys = keys or [draw_key(5, i) for i in range(len(params))]
    return sampler.sample(logits, range(len(params)), keys, xtc_draws, temperatures).tolist()


def draw_many(logits, n=4000, **params):
    """Return the frequency of each token."""
    keys = [draw_key(1, i) for i in range(n)]
    xtc_draws = [uniform(2, i) for i in range(n)] if "xtc_probability" in params else ()
    tokens = sample(mx.array([logits] * n), [SamplingParams(**params)] * n, keys, xtc_draws)
    return np.bincount(np.array(tokens), minlength=len(logits)) / n


LOGITS = [math.log(p) for p in (0.1, 0.4, 0.2, 0.3)]


def test_zero_temperature_samples_greedily():
    assert draw_many(LOGITS, n=3, temperature=0).tolist() == [0, 1, 0, 0]


def test_draws_have_the_distribution_of_the_softmax():
    assert np.allclose(draw_many(LOGITS), [0.1, 0.4, 0.2, 0.3], atol=0.03)


def test_temperature_flattens_and_sharpens_the_distribution():
    flat = np.array([0.1, 0.4, 0.2, 0.3]) ** 0.5
    sharp = np.array([0.1, 0.4, 0.2, 0.3]) ** 2

    assert np.allclose(draw_many(LOGITS, temperature=2.0), flat / flat.sum(), atol=0.03)
    assert np.allclose(draw_many(LOGITS, temperature=0.5), sharp / sharp.sum(), atol=0.03)


def test_banned_tokens_are_never_drawn():
    assert draw_many([0.0, -math.inf, 0.0])[1] == 0


def test_filters_apply_after_the_temperature():
    flat = draw_many(LOGITS, temperature=100.0, top_p=0.5)

    assert flat[[1, 3]].sum() == 1  # each near a quarter: the two best make up half
    assert draw_many(LOGITS, temperature=0.1, top_p=0.5)[1] == 1


def test_xtc_applies_with_its_probability():
    often = draw_many(LOGITS, xtc_probability=0.5, xtc_threshold=0.25)

    # Half of the time XTC drops 1, since 3 is above the threshold too: 0.1, 0, 0.2, 0.3 of 0.6.
    assert np.allclose(often, [0.133, 0.2, 0.267, 0.4], atol=0.03)


@pytest.mark.parametrize("threshold", [0.0, 1e-60, 1e-40])
@pytest.mark.parametrize(
    ("params", "left"), [({"top_k": 2}, 4), ({"top_p": 0.6}, 4), ({"min_p": 0.3}, 3), ({}, 1)]
)
def test_xtc_keeps_a_token_that_the_other_filters_kept(threshold, params, left):
    masked = [-math.inf, *LOGITS]
    often = draw_many(masked, n=8, xtc_probability=1.0, xtc_threshold=threshold, **params)

    assert often[left] == 1


#: Keys for which token 2 and token 3 of LOGITS are drawn, found by trying.
TWO, THREE = (
    next(key for key in range(1000) if sample(mx.array([LOGITS]), [SamplingParams()], [key]) == [t])
    for t in (2, 3)
)


def test_each_row_has_its_own_parameters():
    params = [
        SamplingParams(temperature=0),
        SamplingParams(top_k=1),
        SamplingParams(),
        SamplingParams(temperature=1.5, min_p=0.99),
    ]

    assert sample(mx.array([LOGITS] * 4), params, [THREE] * 4) == [1, 1, 3, 1]


def test_each_row_has_its_own_key():
    assert sample(mx.array([LOGITS] * 3), [SamplingParams()] * 3, [TWO, THREE, TWO]) == [2, 3, 2]


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_draw_does_not_depend_on_the_batch(data):
    vocab_size = data.draw(st.sampled_from([1, 2, 31, 100, 2000]))
    num_rows = data.draw(st.integers(1, 9))
    logits = 4 * mx.random.normal((num_rows, vocab_size), key=mx.random.key(num_rows))
    params = [
        SamplingParams(
            temperature=data.draw(st.sampled_from([0.0, 1e-38, 0.3, 1.0, 100.0])),
            top_p=data.draw(st.sampled_from([1.0, 0.9, 0.1])),
            top_k=data.draw(st.sampled_from([0, 1, 20])),
            min_p=data.draw(st.sampled_from([0.0, 0.1])),
            xtc_probability=data.draw(st.sampled_from([0.0, 0.5])),
        )
        for _ in range(num_rows)
    ]
    keys = [draw_key(9, i) for i in range(num_rows)]
    xtc = [uniform(8, i) for i in range(num_rows)]
    rows = data.draw(st.lists(st.integers(0, num_rows - 1), min_size=1, unique=True).map(sorted))
    some = [logits[i : i + 1] for i in rows], [params[i] for i in rows]

    def tokens_of(logits, params, rows):
        return sample(logits, params, [keys[i] for i in rows], [xtc[i] for i in rows])

    together = tokens_of(mx.concatenate(some[0]), some[1], rows)
    alone = [tokens_of(one, [p], [i])[0] for one, p, i in zip(*some, rows, strict=True)]

    assert together == alone


def drawn_in_float64(logits, temperature, key):
    """The draw by its definition, one token at a time."""
    if temperature < MIN_TEMPERATURE:
        return max(range(len(logits)), key=lambda i: logits[i])
    sums = [logit / temperature + gumbel(key, i) for i, logit in enumerate(logits)]
    return max(range(len(logits)), key=lambda i: sums[i])


@pytest.mark.parametrize("temperature", [1e-38, 0.05, 0.7, 1.0, 100.0])
def test_draws_equal_the_definition_in_float64(temperature):
    logits = 3 * mx.random.normal((40, 500), key=mx.random.key(4))
    keys = [draw_key(3, i) for i in range(40)]
    expected = [
        drawn_in_float64(row, temperature, key)
        for row, key in zip(logits.tolist(), keys, strict=True)
    ]

    assert sample(logits, [SamplingParams(temperature=temperature)] * 40, keys) == expected


def test_rounding_changes_a_draw_only_at_a_near_tie():
    """With inversion of the cumulative distribution, one token in 1,200 changes."""
    logits = 3 * mx.random.normal((1, 5000), key=mx.random.key(1))
    rounded = logits + 1e-4 * mx.random.normal((1, 5000), key=mx.random.key(2))
    keys = [draw_key(1, i) for i in range(500)]
    params = [SamplingParams()] * 500

    def tokens(row):
        return sample(mx.broadcast_to(row, (500, 5000)), params, keys)

    assert tokens(logits) == tokens(rounded)


@pytest.mark.parametrize("temperature", [5e-324, 1e-45, 1e-38, 1e-20, 9e-7])
def test_a_temperature_near_zero_is_greedy(temperature):
    params = [SamplingParams(temperature=temperature), SamplingParams()]
    sampler = Sampler(params[:1])

    assert sampler.is_greedy
    assert sampler.sample(mx.array([LOGITS]), [0]).tolist() == [1]
    assert sample(mx.array([LOGITS] * 2), params, [THREE] * 2) == [1, 3]


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 100.0])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_logits_and_temperatures_of_any_size_return_a_token(temperature, scale):
    logits = mx.array([[x * scale for x in LOGITS]])
    token = sample(logits, [SamplingParams(temperature=temperature)])[0]

    assert token in range(4)
    assert scale / temperature < 1e3 or token == 1


def test_the_temperature_of_a_position_overrides_the_requests():
    params = [SamplingParams(temperature=0), SamplingParams(temperature=2)]
    tokens = sample(mx.array([LOGITS] * 2), params, [THREE] * 2, temperatures={0: 1.0, 1: 0.0})

    assert tokens == [3, 1]


@pytest.mark.parametrize("filters", [{}, {"top_p": 0.9}, {"top_k": 2}, {"min_p": 0.1}])
@pytest.mark.parametrize("temperature", [0.0, 1e-38, 1e-6, 1.0, 100.0])
@pytest.mark.parametrize(
    "row", [[math.nan] * 4, [-math.inf] * 4, [0.0, math.nan, 1.0, 0.0], [0.0, math.inf, 0.0, 0.0]]
)
def test_no_token_is_returned_if_none_can_be_sampled(row, temperature, filters):
    params = [SamplingParams(temperature=temperature, **filters)] * 2
    broken, whole = sample(mx.array([row, LOGITS]), params)

    assert broken == NO_TOKEN != whole


def test_the_only_token_left_is_drawn_whatever_its_noise():
    logits = [-math.inf] * 50
    logits[17] = -1000.0
    keys = [*(draw_key(4, i) for i in range(500)), key_of(17, 0), key_of(17, 2**32 - 1)]

    assert set(sample(mx.array([logits] * 502), [SamplingParams()] * 502, keys)) == {17}


def test_too_few_candidates_are_reported_and_sorting_all_resolves_it():
    params = [SamplingParams(top_p=0.99), SamplingParams(top_p=0.6), SamplingParams()]
    logits = mx.array([LOGITS] * 3)
    sampler = Sampler(params, num_candidates=2)

    assert sampler.sample(logits, range(3), [THREE] * 3).tolist() == [TOO_FEW, 3, 3]
    assert sampler.sample(logits, range(3), [THREE] * 3, whole=[0]).tolist() == [3, 3, 3]


def test_any_selection_of_rows_is_sampled_with_their_own_parameters():
    params = [SamplingParams(temperature=0), SamplingParams(), SamplingParams(top_k=1)]
    logits = mx.array([LOGITS] * 2)

    assert Sampler(params).sample(logits, [1, 2], [THREE, THREE]).tolist() == [3, 1]
