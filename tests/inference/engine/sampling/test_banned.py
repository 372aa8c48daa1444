"""Tokens that may not be sampled at a position."""

import mlx.core as mx
from concordance_inference.engine.sampling.banned import BANNED, without_banned


def test_banned_tokens_of_a_row_get_the_lowest_finite_logit():
    logits = mx.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert without_banned(logits, [(), {2, 0}]).tolist() == [
        [1.0, 2.0, 3.0],
        [BANNED, 5.0, BANNED],
    ]
    assert logits.tolist()[1] == [4.0, 5.0, 6.0]


def test_without_banned_tokens_nothing_is_computed():
    logits = mx.array([[1.0, 2.0]])
    assert without_banned(logits, [()]) is logits
