"""What a request itself does to scores: bias, and penalties on what was generated."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.penalties import Counted, Penalties
from concordance_inference.engine.sampling.rng import NO_TOKEN, TOO_FEW
from concordance_inference.generation import SamplingParams
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

LOGITS = [2.0, 1.0, -1.0, 0.5]


class Said(Struct):
    completion_ids: list
    num_edits: int = 0

    @property
    def num_completion(self):
        return len(self.completion_ids)


def applied(penalties, *said, logits=None, rows=None, pending=None):
    """What is left of the logits; `pending`: the token on the device of each row, None for none."""
    rows = range(len(logits or said)) if rows is None else rows
    logits = mx.array(logits or [LOGITS] * len(said))
    pending = pending or [None] * len(said)
    counted = [Counted(s, token is not None) for s, token in zip(said, pending, strict=True)]
    sampled = mx.array([0 if token is None else token for token in pending])
    return np.array(penalties.applied(logits, rows, counted, sampled)).tolist()


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
    ahead = applied(penalties, Said([]), Said([]), pending=[1, 0])
    seen = applied(penalties, Said([1]), Said([0]))

    assert ahead == seen == [[2.0, 0.0, -1.0, 0.5], [1.0, 1.0, -1.0, 0.5]]


def test_a_token_sampled_in_a_row_that_has_no_penalties_counts_nowhere():
    params = [SamplingParams(), SamplingParams(frequency_penalty=1.0)]
    sampled = mx.array([0, 1])
    counted = [Counted(Said([2]), is_pending=True)]
    logits = Penalties(params).applied(mx.array([LOGITS] * 2), [0, 1], counted, sampled)

    assert logits.tolist() == [LOGITS, [2.0, 0.0, -2.0, 0.5]]


def test_a_completion_that_was_edited_is_counted_again():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])
    applied(penalties, Said([0, 0]), pending=[0])

    assert applied(penalties, Said([1, 1, 1], num_edits=1))[0] == [2.0, -2.0, -1.0, 0.5]


@pytest.mark.parametrize("discarded", [1, NO_TOKEN, TOO_FEW])
def test_a_discarded_draw_leaves_no_trace(discarded):
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])
    applied(penalties, Said([0]), pending=[discarded])
    applied(penalties, Said([0]), pending=[2])

    assert applied(penalties, Said([0]))[0] == [1.0, 1.0, -1.0, 0.5]


@pytest.mark.parametrize("stands_for_none", [NO_TOKEN, TOO_FEW])
def test_what_stands_for_a_token_counts_for_none(stands_for_none):
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)], exempt=[3])

    assert applied(penalties, Said([0]), pending=[stands_for_none])[0] == [1.0, 1.0, -1.0, 0.5]


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_counts_are_those_of_the_tokens_that_stand_whatever_was_discarded(data):
    """A loop samples ahead, discards, edits and waits; a second one counts every time anew."""
    params = [SamplingParams(frequency_penalty=1.0)] * 2
    penalties = Penalties(params, exempt=[3])
    said, pending = [Said([]), Said([])], [None, None]
    for _ in range(12):
        anew = Penalties(params, exempt=[3])
        stands = [Said([*s.completion_ids]) for s in said]
        for one, token in zip(stands, pending, strict=True):
            if token is not None and token >= 0:
                one.completion_ids.append(token)
        assert applied(penalties, *said, pending=pending) == applied(anew, *stands)
        for i in range(2):
            happens = data.draw(st.sampled_from(["sampled", "discarded", "forced", "waits"]))
            if happens == "sampled" and pending[i] is not None and pending[i] >= 0:
                said[i].completion_ids.append(pending[i])
            elif happens == "forced":
                said[i].completion_ids[-1:] = data.draw(st.lists(st.integers(0, 3), max_size=2))
                said[i].num_edits += 1
            pending[i] = data.draw(st.sampled_from([None, 0, 1, 2, 3, NO_TOKEN, TOO_FEW]))


def test_without_bias_and_penalties_there_is_nothing_to_do():
    assert Penalties([SamplingParams()]).change_nothing
    assert not Penalties([SamplingParams(logit_bias={1: 1.0})]).change_nothing
    assert not Penalties([SamplingParams(repetition_penalty=1.1)]).change_nothing
