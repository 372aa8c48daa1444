"""How likely tokens are, and what else would have been likely."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling.logprobs import Logprobs

LOGITS = mx.array([[0.0, 2.0, 1.0, -1.0], [5.0, 5.0, 5.0, 5.0]])
TOTAL = math.log(1 + math.e**2 + math.e + math.e**-1)


def read(token_ids, num_top):
    return Logprobs(LOGITS, mx.array(token_ids), num_top).read()


def test_a_token_is_as_likely_as_softmax_says():
    first, second = read([2, 0], 0)

    assert first.logprob == pytest.approx(1 - TOTAL, abs=1e-5)
    assert second.logprob == pytest.approx(-math.log(4), abs=1e-5)
    assert (first.token_id, first.top) == (2, ())


def test_the_likeliest_come_first():
    (first, _) = read([0, 0], 2)

    assert [token_id for token_id, _ in first.top] == [1, 2]
    assert first.top[0][1] == pytest.approx(2 - TOTAL, abs=1e-5)


def test_more_alternatives_than_there_are_tokens_are_all():
    assert [token_id for token_id, _ in read([0, 0], 9)[0].top] == [1, 2, 0, 3]
