"""Dropping tokens: pure functions of scores."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling.filters import (
    kept_by_min_p,
    kept_by_rank,
    without_top_choices,
)

PROBS = (0.1, 0.4, 0.2, 0.3)
LOGITS = [math.log(p) for p in PROBS]


def left(cut):
    """Per row: the tokens that were not dropped."""
    return [[i for i, score in enumerate(row) if score > -math.inf] for row in cut.tolist()]


def ranked(logits, top_k=2**31 - 1, top_p=1.0):
    return left(kept_by_rank(mx.array([logits]), mx.array([top_k]), mx.array([top_p])))[0]


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
        ({"top_k": 3, "top_p": 0.45}, [1, 3]),  # 0.4 / 0.9 = 0.444 < 0.45
        ({"top_k": 3, "top_p": 0.44}, [1]),
    ],
)
def test_the_likeliest_are_kept_by_number_and_by_mass(filters, expected):
    assert ranked(LOGITS, **filters) == expected


@pytest.mark.parametrize(
    ("min_p", "expected"), [(0.0, [0, 1, 2, 3]), (0.3, [1, 2, 3]), (0.6, [1, 3]), (1.0, [1])]
)
def test_what_is_far_less_likely_than_the_likeliest_is_dropped(min_p, expected):
    assert left(kept_by_min_p(mx.array([LOGITS]), mx.array([min_p])))[0] == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.05, [0]), (0.15, [0, 2]), (0.25, [0, 2, 3]), (0.35, [0, 1, 2, 3]), (0.5, [0, 1, 2, 3])],
)
def test_of_the_likely_tokens_the_least_likely_stays(threshold, expected):
    exempt = mx.zeros((4,), mx.bool_)

    assert (
        left(without_top_choices(mx.array([LOGITS]), mx.array([threshold]), exempt))[0] == expected
    )


def test_an_exempt_token_is_no_top_choice():
    exempt = mx.array([False, True, False, False])

    assert left(without_top_choices(mx.array([LOGITS]), mx.array([0.05]), exempt))[0] == [0, 1]


def test_the_best_of_any_row_is_kept():
    rows = mx.random.normal((50, 300), key=mx.random.key(0))
    cut = kept_by_rank(rows, mx.full((50,), 5), mx.full((50,), 0.3))
    cut = kept_by_min_p(cut, mx.full((50,), 0.2))

    assert (mx.argmax(cut, axis=-1) == mx.argmax(rows, axis=-1)).all().item()
    assert ((cut > -mx.inf).sum(axis=-1) <= 5).all().item()


def test_tokens_that_score_the_same_stay_together():
    assert ranked([1.0, 1.0, 0.0], top_k=1) == [0, 1]


def test_impossible_tokens_stay_impossible():
    assert ranked([0.0, -math.inf, 1.0]) == [0, 2]
