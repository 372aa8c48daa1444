"""What a request itself does to scores: bias, and penalties on what was generated."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.penalties import Counted, Penalties
from concordance_inference.generation import SamplingParams
from msgspec import Struct

LOGITS = [2.0, 1.0, -1.0, 0.5]


class Said(Struct):
    completion_ids: list
    num_edits: int = 0


def applied(penalties, *said, logits=None, rows=None, pending=None):
    rows = range(len(logits or said)) if rows is None else rows
    logits = mx.array(logits or [LOGITS] * len(said))
    counted = [Counted(s, pending) for s in said]
    return np.array(penalties.applied(logits, rows, counted)).tolist()


def one(said, **params):
    return applied(Penalties([SamplingParams(**params)]), Said(said))[0]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"presence_penalty": 0.5}, [1.5, 0.5, -1.0, 0.5]),
        ({"frequency_penalty": 0.5}, [1.0, 0.5, -1.0, 0.5]),
        ({"frequency_penalty": 0.5, "presence_penalty": 1.0}, [0.0, -0.5, -1.0, 0.5]),
        ({"presence_penalty": -1.0}, [3.0, 2.0, -1.0, 0.5]),
        ({"repetition_penalty": 2.0}, [1.0, 0.5, -1.0, 0.5]),
    ],
)
def test_what_was_said_is_penalized(params, expected):
    assert one([0, 1, 0], **params) == expected


def test_repetition_makes_a_negative_score_more_negative():
    assert one([2], repetition_penalty=2.0)[2] == -2.0


def test_nothing_said_is_nothing_penalized():
    assert one([], frequency_penalty=1.0, presence_penalty=1.0, repetition_penalty=3.0) == LOGITS


def test_a_bias_is_added_and_may_forbid():
    penalties = Penalties([SamplingParams(logit_bias={0: -100.0, 3: 2.5}), SamplingParams()])

    assert applied(penalties, logits=[LOGITS] * 2) == [[-98.0, 1.0, -1.0, 3.0], LOGITS]


def test_tokens_of_the_format_are_not_penalized():
    penalties = Penalties([SamplingParams(presence_penalty=1.0)], exempt=[0, 99])

    assert applied(penalties, Said([0, 1]))[0] == [2.0, 0.0, -1.0, 0.5]


def test_each_row_has_its_own_penalties_and_its_own_past():
    penalties = Penalties(
        [
            SamplingParams(presence_penalty=1.0),
            SamplingParams(),
            SamplingParams(frequency_penalty=1.0),
        ]
    )

    assert applied(penalties, Said([0]), Said([1, 1]), logits=[LOGITS] * 3) == [
        [1.0, 1.0, -1.0, 0.5],
        LOGITS,
        [2.0, -1.0, -1.0, 0.5],
    ]


def test_only_some_rows_may_be_scored():
    penalties = Penalties([SamplingParams(presence_penalty=1.0)] * 3)
    said = [Said([0]), Said([1]), Said([2])]

    assert applied(penalties, *said, logits=[LOGITS] * 2, rows=[1, 2]) == [
        [2.0, 0.0, -1.0, 0.5],
        [2.0, 1.0, -2.0, 0.5],
    ]


def test_tokens_that_are_sampled_count_before_they_are_seen():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)] * 2)
    applied(penalties, Said([]), Said([]))
    penalties.count([1, 0], mx.array([0, 1]))

    assert applied(penalties, Said([1]), Said([0])) == [
        [2.0, 0.0, -1.0, 0.5],
        [1.0, 1.0, -1.0, 0.5],
    ]


def test_a_completion_that_was_edited_is_counted_anew():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])
    applied(penalties, Said([0, 0]))
    penalties.count([0], mx.array([0]))

    assert applied(penalties, Said([1], num_edits=1))[0] == [2.0, 0.0, -1.0, 0.5]


def test_a_token_that_waits_to_be_seen_when_counting_begins_counts():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])

    assert applied(penalties, Said([0]), pending=mx.array([1]))[0] == [1.0, 0.0, -1.0, 0.5]


def test_without_bias_and_penalties_there_is_nothing_to_do():
    assert Penalties([SamplingParams()]).change_nothing
    assert not Penalties([SamplingParams(logit_bias={1: 1.0})]).change_nothing
    assert not Penalties([SamplingParams(repetition_penalty=1.1)]).change_nothing
