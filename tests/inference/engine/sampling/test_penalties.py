"""Logit bias and penalties of a request."""

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


class Completion(Struct):
    completion_ids: list
    num_edits: int = 0

    @property
    def num_completion(self):
        return len(self.completion_ids)


def applied(penalties, *completions, logits=None, rows=None, pending=None):
    """Apply penalties; `pending` has the token on the device of each row, or None."""
    rows = range(len(logits or completions)) if rows is None else rows
    logits = mx.array(logits or [LOGITS] * len(completions))
    pending = pending or [None] * len(completions)
    counted = [Counted(s, token is not None) for s, token in zip(completions, pending, strict=True)]
    sampled = mx.array([0 if token is None else token for token in pending])
    return np.array(penalties.apply(logits, rows, counted, sampled)).tolist()


def one(ids, **params):
    return applied(Penalties([SamplingParams(**params)]), Completion(ids))[0]


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
def test_tokens_of_the_completion_are_penalized(params, expected):
    assert one([0, 1, 0], **params) == expected


def test_repetition_penalty_makes_a_negative_logit_more_negative():
    assert one([2], repetition_penalty=2.0)[2] == -2.0


def test_an_empty_completion_is_not_penalized():
    assert one([], frequency_penalty=1.0, presence_penalty=1.0, repetition_penalty=3.0) == LOGITS


def test_a_logit_bias_is_added_and_may_ban():
    penalties = Penalties([SamplingParams(logit_bias={0: -100.0, 3: 2.5}), SamplingParams()])

    assert applied(penalties, logits=[LOGITS] * 2) == [[-98.0, 1.0, -1.0, 3.0], LOGITS]


def test_exempt_tokens_are_not_penalized():
    penalties = Penalties([SamplingParams(presence_penalty=1.0)], exempt=[0, 99])

    assert applied(penalties, Completion([0, 1]))[0] == [2.0, 0.0, -1.0, 0.5]


def test_each_row_has_its_own_penalties_and_counts():
    penalties = Penalties(
        [
            SamplingParams(presence_penalty=1.0),
            SamplingParams(),
            SamplingParams(frequency_penalty=1.0),
        ]
    )

    assert applied(penalties, Completion([0]), Completion([1, 1]), logits=[LOGITS] * 3) == [
        [1.0, 1.0, -1.0, 0.5],
        LOGITS,
        [2.0, -1.0, -1.0, 0.5],
    ]


def test_logits_of_some_rows_only():
    penalties = Penalties([SamplingParams(presence_penalty=1.0)] * 3)
    completions = [Completion([0]), Completion([1]), Completion([2])]

    assert applied(penalties, *completions, logits=[LOGITS] * 2, rows=[1, 2]) == [
        [2.0, 0.0, -1.0, 0.5],
        [2.0, 1.0, -2.0, 0.5],
    ]


def test_a_sampled_token_counts_before_the_host_knows_it():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)] * 2)
    ahead = applied(penalties, Completion([]), Completion([]), pending=[1, 0])
    seen = applied(penalties, Completion([1]), Completion([0]))

    assert ahead == seen == [[2.0, 0.0, -1.0, 0.5], [1.0, 1.0, -1.0, 0.5]]


def test_a_sampled_token_of_a_row_without_penalties_is_not_counted():
    params = [SamplingParams(), SamplingParams(frequency_penalty=1.0)]
    sampled = mx.array([0, 1])
    counted = [Counted(Completion([2]), is_pending=True)]
    logits = Penalties(params).apply(mx.array([LOGITS] * 2), [0, 1], counted, sampled)

    assert logits.tolist() == [LOGITS, [2.0, 0.0, -2.0, 0.5]]


def test_an_edited_completion_is_counted_again():
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])
    applied(penalties, Completion([0, 0]), pending=[0])

    assert applied(penalties, Completion([1, 1, 1], num_edits=1))[0] == [2.0, -2.0, -1.0, 0.5]


@pytest.mark.parametrize("discarded", [1, NO_TOKEN, TOO_FEW])
def test_a_discarded_draw_leaves_no_trace(discarded):
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)])
    applied(penalties, Completion([0]), pending=[discarded])
    applied(penalties, Completion([0]), pending=[2])

    assert applied(penalties, Completion([0]))[0] == [1.0, 1.0, -1.0, 0.5]


@pytest.mark.parametrize("no_token", [NO_TOKEN, TOO_FEW])
def test_a_value_in_place_of_a_token_is_not_counted(no_token):
    penalties = Penalties([SamplingParams(frequency_penalty=1.0)], exempt=[3])

    assert applied(penalties, Completion([0]), pending=[no_token])[0] == [1.0, 1.0, -1.0, 0.5]


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_counts_equal_those_of_the_completion_whatever_was_discarded(data):
    """A loop samples ahead, discards, edits and waits; the reference counts from scratch."""
    params = [SamplingParams(frequency_penalty=1.0)] * 2
    penalties = Penalties(params, exempt=[3])
    completions, pending = [Completion([]), Completion([])], [None, None]
    for _ in range(12):
        fresh = Penalties(params, exempt=[3])
        copies = [Completion([*s.completion_ids]) for s in completions]
        for one, token in zip(copies, pending, strict=True):
            if token is not None and token >= 0:
                one.completion_ids.append(token)
        assert applied(penalties, *completions, pending=pending) == applied(fresh, *copies)
        for i in range(2):
            happens = data.draw(st.sampled_from(["sampled", "discarded", "forced", "waits"]))
            if happens == "sampled" and pending[i] is not None and pending[i] >= 0:
                completions[i].completion_ids.append(pending[i])
            elif happens == "forced":
                completions[i].completion_ids[-1:] = data.draw(
                    st.lists(st.integers(0, 3), max_size=2)
                )
                completions[i].num_edits += 1
            pending[i] = data.draw(st.sampled_from([None, 0, 1, 2, 3, NO_TOKEN, TOO_FEW]))


def test_default_parameters_change_nothing():
    assert Penalties([SamplingParams()]).change_nothing
    assert not Penalties([SamplingParams(logit_bias={1: 1.0})]).change_nothing
    assert not Penalties([SamplingParams(repetition_penalty=1.1)]).change_nothing


def test_control_tokens_keep_their_logits_however_often_they_occurred():
    params = SamplingParams(repetition_penalty=2.0, presence_penalty=1.0, frequency_penalty=1.0)
    penalties = Penalties([params], exempt=[3])

    [after] = applied(penalties, Completion([3, 1, 3, 3]), pending=[3])

    assert after[3] == LOGITS[3]
    assert after[1] < LOGITS[1]
