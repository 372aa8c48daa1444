"""Top-k, top-p, min-p and XTC: pure functions of logits."""

import math

import mlx.core as mx
import pytest
from concordance_inference.engine.sampling.filters import (
    above,
    min_p_floor,
    rank_floor,
    without_top_choices,
)

PROBS = (0.1, 0.4, 0.2, 0.3)
LOGITS = [math.log(p) for p in PROBS]


def left(cut):
    """Return the tokens of each row that are kept."""
    return [[i for i, logit in enumerate(row) if logit > -math.inf] for row in cut.tolist()]


def cut(rows, top_k, top_p, num_candidates=None):
    floor, is_certain = rank_floor(rows, top_k, top_p, num_candidates=num_candidates)
    return above(rows, floor), is_certain.tolist()


def ranked(logits, top_k=2**31 - 1, top_p=1.0):
    return left(cut(mx.array([logits]), [top_k], [top_p])[0])[0]


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
def test_top_k_and_top_p_keep_the_most_probable(filters, expected):
    assert ranked(LOGITS, **filters) == expected


@pytest.mark.parametrize(
    ("min_p", "expected"), [(0.0, [0, 1, 2, 3]), (0.3, [1, 2, 3]), (0.6, [1, 3]), (1.0, [1])]
)
def test_min_p_drops_tokens_below_a_fraction_of_the_most_probable(min_p, expected):
    logits = mx.array([LOGITS]) - max(LOGITS)

    assert left(above(logits, mx.array([[min_p_floor(min_p)]])))[0] == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.05, [0]), (0.15, [0, 2]), (0.25, [0, 2, 3]), (0.35, [0, 1, 2, 3]), (0.5, [0, 1, 2, 3])],
)
def test_xtc_keeps_the_least_probable_token_above_the_threshold(threshold, expected):
    exempt = mx.zeros((4,), mx.bool_)

    assert (
        left(without_top_choices(mx.array([LOGITS]), mx.array([threshold]), exempt))[0] == expected
    )


def test_xtc_keeps_exempt_tokens():
    exempt = mx.array([False, True, False, False])

    assert left(without_top_choices(mx.array([LOGITS]), mx.array([0.05]), exempt))[0] == [0, 1]


def test_the_most_probable_token_of_any_row_is_kept():
    rows = mx.random.normal((50, 300), key=mx.random.key(0))
    kept = cut(rows, [5] * 50, [0.3] * 50)[0]

    assert (mx.argmax(kept, axis=-1) == mx.argmax(rows, axis=-1)).all().item()
    assert ((kept > -mx.inf).sum(axis=-1) <= 5).all().item()


@pytest.mark.parametrize(
    ("top_k", "top_p", "num_candidates", "is_certain"),
    [
        (99, 0.65, 2, True),  # 0.4 and 0.3 are more than enough
        (99, 0.75, 2, False),
        (99, 0.75, 3, True),
        (2, 0.99, 2, True),  # top-k decides: tokens after the candidates do not matter
        (3, 0.99, 2, True),  # top-k tokens are always candidates
        (99, 1.0, 2, False),
    ],
)
def test_the_floor_of_a_few_candidates_is_exact_or_not_certain(
    top_k, top_p, num_candidates, is_certain
):
    few, certain = cut(mx.array([LOGITS]), [top_k], [top_p], num_candidates)

    assert certain == [is_certain]
    if is_certain:
        assert left(few)[0] == ranked(LOGITS, top_k, top_p)


def test_sorting_enough_candidates_equals_sorting_all():
    rows = mx.random.normal((200, 300), key=mx.random.key(3))
    top_k, top_p = [7, 1000, 40, 1000] * 50, [0.9, 0.4, 1.0, 0.95] * 50
    whole, _ = cut(rows, top_k, top_p)
    few, is_certain = cut(rows, top_k, top_p, 64)

    assert 100 < sum(is_certain) < 200
    for i, certain in enumerate(is_certain):
        assert not certain or left(few[i : i + 1]) == left(whole[i : i + 1])


@pytest.mark.parametrize("top_k", [65, 100, 299])
def test_top_p_is_a_fraction_of_top_k_even_if_k_exceeds_the_candidates(top_k):
    rows = mx.random.normal((20, 300), key=mx.random.key(5))
    whole, _ = cut(rows, [top_k] * 20, [0.5] * 20)
    few, is_certain = cut(rows, [top_k] * 20, [0.5] * 20, 64)

    assert all(is_certain)
    assert left(few) == left(whole)


def test_tokens_with_equal_logits_are_kept_together():
    assert ranked([1.0, 1.0, 0.0], top_k=1) == [0, 1]


def test_banned_tokens_remain_banned():
    assert ranked([0.0, -math.inf, 1.0]) == [0, 2]
