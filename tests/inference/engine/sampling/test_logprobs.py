"""Log-probabilities of tokens and their most probable alternatives."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling.logprobs import Logprobs

LOGITS = mx.array([[0.0, 2.0, 1.0, -1.0], [5.0, 5.0, 5.0, 5.0]])
TOTAL = math.log(1 + math.e**2 + math.e + math.e**-1)


def read(token_ids, num_top):
    return Logprobs(LOGITS, mx.array(token_ids), num_top).read()


def test_logprobs_are_the_log_of_the_softmax():
    first, second = read([2, 0], 0)

    assert first.logprob == pytest.approx(1 - TOTAL, abs=1e-5)
    assert second.logprob == pytest.approx(-math.log(4), abs=1e-5)
    assert (first.token_id, first.top) == (2, ())


def test_alternatives_are_sorted_by_probability():
    (first, _) = read([0, 0], 2)

    assert [token_id for token_id, _ in first.top] == [1, 2]
    assert first.top[0][1] == pytest.approx(2 - TOTAL, abs=1e-5)


def test_alternatives_are_bounded_by_the_vocabulary():
    assert [token_id for token_id, _ in read([0, 0], 9)[0].top] == [1, 2, 0, 3]
