"""A row of logits as mods see it."""

import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.logits_row import LogitsRow, RowSource
from concordance_sdk.testing import ScriptedLogits
from concordance_shared import AdjustedLogits
from hypothesis import given, settings
from hypothesis import strategies as st


def row(*logits):
    rows = mx.array([[9.0] * len(logits), [float(s) for s in logits]])
    return LogitsRow(RowSource(rows, 1))


def adjusted(*logits, **fields):
    return row(*logits).adjusted(AdjustedLogits(**fields))


def test_ways_to_read_a_row():
    r = row(1, 3, 2)

    assert (len(r), r[1], r[-1]) == (3, 3.0, 2.0)
    assert r.to_numpy().tolist() == [1, 3, 2]
    assert r.to_numpy().dtype == np.float32
    assert np.asarray(r).argmax() == 1


def test_a_row_is_indexable_as_a_batch_of_one():
    r = row(1, 3, 2)

    assert (r[0, 1], r[:, 1], r[np.int64(1)]) == (3.0, 3.0, 3.0)
    assert r[0, :].tolist() == r[:].tolist() == [1, 3, 2]


@pytest.mark.parametrize("key", [3, -4, (1, 0), (0, 3), (0, 0, 0)])
def test_an_index_outside_the_vocabulary_raises_index_error(key):
    with pytest.raises(IndexError, match="one row|outside the vocabulary of 3"):
        row(1, 3, 2)[key]


def test_entropy_is_that_of_the_softmax():
    logits = np.array([0.5, 3.0, -1.0, 2.0])
    probs = np.exp(logits) / np.exp(logits).sum()

    assert row(*logits).entropy() == pytest.approx(-(probs * np.log(probs)).sum(), abs=1e-5)
    assert adjusted(*logits, allow=(2,)).entropy() == 0


def test_logprob_is_that_of_the_log_softmax():
    logits = np.array([0.5, 3.0, -1.0, 2.0])
    expected = logits - np.log(np.exp(logits).sum())

    assert row(*logits).logprobs(range(4)) == pytest.approx(expected.tolist(), abs=1e-6)
    assert row(*logits).logprob(np.int64(2)) == pytest.approx(expected[2], abs=1e-6)
    assert row(*logits).logprobs(mx.array([1, 1])) == pytest.approx([expected[1]] * 2, abs=1e-6)
    assert row(*logits).logprobs([]) == []


def test_logprobs_include_adjustments_and_are_minus_infinity_for_masked_tokens():
    r = adjusted(1, 3, 2, ban=(1,), bias={0: 1.0})

    assert r.logprobs([0, 1, 2]) == pytest.approx([-math.log(2), -math.inf, -math.log(2)])


@pytest.mark.parametrize("of", [row, lambda *logits: ScriptedLogits(logits)])
@pytest.mark.parametrize(
    ("token_ids", "error", "words"),
    [
        ([3], IndexError, "token id 3 is outside the vocabulary of 3"),
        ([0, -1], IndexError, "token id -1 is outside"),
        ([1.0], TypeError, "a token id is an integer, not 1.0"),
        ([True], TypeError, "a token id is an integer, not True"),
        (["yes"], TypeError, r"a token id is an integer: use tokenizer.encode\('yes'\)"),
        ("yes", TypeError, "of a list of token ids, not of 'yes'"),
        (1, TypeError, "of a list of token ids, not of 1"),
    ],
)
def test_logprobs_of_something_other_than_tokens_are_refused(of, token_ids, error, words):
    with pytest.raises(error, match=words):
        of(1.0, 3.0, 2.0).logprobs(token_ids)


def test_margin_is_the_highest_logit_minus_the_kth_highest():
    r = row(1, 3, 2.5)

    assert (r.margin(), r.margin(1), r.margin(3)) == (0.5, 0.0, 2.0)
    assert r.margin(4) == adjusted(1, 3, allow=(1,)).margin() == math.inf
    with pytest.raises(ValueError, match="k=0"):
        r.margin(0)


@pytest.mark.parametrize("of", [row, lambda *logits: ScriptedLogits(logits)])
def test_a_negative_k_raises_value_error(of):
    assert of(1.0, 3.0, 2.0).top_k(0) == []
    with pytest.raises(ValueError, match="k=-1 is negative"):
        of(1.0, 3.0, 2.0).top_k(-1)


def test_top_k_returns_the_lowest_ids_of_equal_logits_first():
    assert row(5, 1, 7, 7, 1, 7).top_k(3) == [(2, 7.0), (3, 7.0), (5, 7.0)]
    assert row(*[0.0] * 3000, 1.0).top_k(3) == [(3000, 1.0), (0, 0.0), (1, 0.0)]


def test_the_entropy_of_a_row_with_nan_is_nan():
    assert math.isnan(row(1, math.nan, 2).entropy())


ADJUSTMENTS = st.fixed_dictionaries(
    {},
    optional={
        "bias": st.dictionaries(st.integers(0, 9), st.floats(-5, 5, width=32), max_size=4)
        | st.lists(st.floats(-5, 5, width=32), min_size=10, max_size=10),
        "allow": st.lists(st.integers(0, 9), min_size=1, max_size=5),
        "ban": st.lists(st.integers(0, 9), max_size=5),
        "mask": st.binary(min_size=2, max_size=2),
    },
)


@settings(deadline=None)
@given(st.integers(0, 9), st.lists(ADJUSTMENTS, max_size=3), st.integers(1, 11))
def test_scripted_logits_of_the_test_harness_equal_the_engines_row(top, adjustments, k):
    ours = row(*(i == top for i in range(10)))
    theirs = ScriptedLogits({top: 1.0}, vocab_size=10)
    for fields in adjustments:
        action = AdjustedLogits(**fields)
        ours = ours.adjusted(action)
        try:
            theirs = theirs.adjusted(action)
        except ValueError:
            assert np.isneginf(ours.to_numpy()).all()
            return

    assert ours.to_numpy().tolist() == pytest.approx(theirs.to_numpy().tolist())
    assert ours.entropy() == pytest.approx(theirs.entropy(), abs=1e-5)
    assert ours.margin(k) == pytest.approx(theirs.margin(k), abs=1e-5)
    assert ours.logprobs(range(10)) == pytest.approx(theirs.logprobs(range(10)), abs=1e-5)
    assert [s for _, s in ours.top_k(k)] == pytest.approx([s for _, s in theirs.top_k(k)])


@pytest.mark.parametrize("k", [1, 2, 3, 9])
def test_top_k_is_sorted_by_logit(k):
    assert row(1, 3, 2).top_k(k) == [(1, 3.0), (2, 2.0), (0, 1.0)][:k]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"bias": {0: 5.0, 2: -1.0}}, [6, 3, 1]),
        ({"bias": [5, 0, -1]}, [6, 3, 1]),
        ({"bias": np.array([5, 0, -math.inf])}, [6, 3, -math.inf]),
        ({"bias": mx.array([[5, 0, -1]])}, [6, 3, 1]),
        ({"allow": (2, 0)}, [1, -math.inf, 2]),
        ({"ban": (1,)}, [1, -math.inf, 2]),
        ({"ban": ()}, [1, 3, 2]),
        ({"mask": b"\5"}, [1, -math.inf, 2]),
        ({"logits": [9, 8, 7]}, [9, 8, 7]),
        ({"logits": np.array([[9, 8, 7]], np.float64)}, [9, 8, 7]),
        ({"logits": np.array([9, 8, 7], np.float32).tobytes()}, [9, 8, 7]),
        ({"logits": mx.array([9, 8, 7])}, [9, 8, 7]),
        ({"logits": [9, 8, 7], "bias": {0: 1.0}, "ban": (2,)}, [10, 8, -math.inf]),
    ],
)
def test_an_adjustment_is_applied(fields, expected):
    assert adjusted(1, 3, 2, **fields).row.tolist() == expected


def test_an_adjustment_does_not_change_the_original_row():
    before = row(1, 3, 2)
    before.adjusted(AdjustedLogits(ban=(1,), bias={0: 9.0}, allow=(1,)))

    assert before.row.tolist() == [1, 3, 2]


def test_a_mask_shorter_than_the_logits_bans_the_rest():
    assert adjusted(*range(12), mask=b"\xff").row.tolist()[7:] == [7] + [-math.inf] * 4


def test_the_last_temperature_wins():
    r = adjusted(1, 2, token_temp=0.5).adjusted(AdjustedLogits(ban=(0,)))

    assert r.token_temp == 0.5
    assert r.adjusted(AdjustedLogits(token_temp=0.0)).token_temp == 0.0


@pytest.mark.parametrize("bad", [[math.nan, 1], [math.inf, 1], [-math.inf, -math.inf]])
def test_a_row_that_cannot_be_sampled_from_is_rejected(bad):
    with pytest.raises(ValueError, match="NaN|no token"):
        adjusted(1, 2, logits=bad)
