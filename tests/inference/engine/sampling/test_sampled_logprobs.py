"""Log-probabilities under the distribution that a token was sampled from."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.rng import draw_key
from concordance_inference.engine.sampling.sampler import Sampler
from concordance_inference.generation import SamplingParams
from tiny import ask, make_engine, run

LOGITS = [math.log(p) for p in (0.1, 0.4, 0.2, 0.3)]


def draw(*params, asked=None, logits=LOGITS, **options):
    """Return each row's token, and its log-probability."""
    rows = range(len(params))
    token_ids, logprobs = Sampler(params).sample_with_logprobs(
        mx.array([logits] * len(params)),
        rows,
        [draw_key(3, i) for i in rows],
        asked=rows if asked is None else asked,
        **options,
    )
    return token_ids.tolist(), None if logprobs is None else logprobs.tolist()


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5}, [0.01, 0.16, 0.04, 0.09]),
        ({"top_k": 2}, [0, 0.4, 0, 0.3]),
        ({"top_p": 0.6}, [0, 0.4, 0, 0.3]),
        ({"min_p": 0.4}, [0, 0.4, 0.2, 0.3]),
        ({"temperature": 0.5, "top_k": 3}, [0, 0.16, 0.04, 0.09]),
    ],
)
def test_a_sampled_logprob_is_that_of_the_filtered_distribution(params, kept):
    rows = [SamplingParams(**params)] * 20
    token_ids, logprobs = draw(*rows)

    assert np.allclose(np.exp(logprobs), np.array(kept)[token_ids] / sum(kept), atol=1e-5)


def test_the_sampled_logprob_of_a_greedy_choice_is_zero():
    assert draw(SamplingParams(temperature=0)) == ([1], [0.0])
    assert draw(SamplingParams(), temperatures={0: 0}) == ([1], [0.0])


def test_a_vocabulary_of_which_little_is_left_has_finite_sampled_logprobs():
    logits = [-math.inf] * 5000
    logits[7], logits[4000] = 1.0, 1.0
    _, logprobs = draw(SamplingParams(), SamplingParams(top_p=0.9), logits=logits)

    assert np.allclose(logprobs, math.log(0.5))


def test_nothing_is_computed_for_rows_that_do_not_ask():
    params = [SamplingParams(), SamplingParams(temperature=0), SamplingParams(top_k=2)]
    _, logprobs = draw(*params, asked=[2])

    assert [math.isnan(logprob) for logprob in logprobs] == [True, True, False]
    assert draw(*params, asked=[])[1] is None


def test_asking_for_sampled_logprobs_does_not_change_tokens():
    params = [SamplingParams(top_p=0.7), SamplingParams(temperature=2), SamplingParams(min_p=0.1)]

    assert draw(*params)[0] == draw(*params, asked=[])[0]


def test_a_request_has_sampled_logprobs_beside_one_that_has_none():
    fields = {"top_logprobs": 0, "max_tokens": 6, "sampling": SamplingParams(seed=1, top_k=4)}
    with_them, without = run(
        make_engine(), ask("One", **fields, sampled_logprobs=True), ask("Two", **fields)
    )

    assert all(each.sampled_logprob >= each.logprob for each in with_them.end.logprobs)
    assert {each.sampled_logprob for each in without.end.logprobs} == {None}
