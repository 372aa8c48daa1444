"""The logits after the actions of mods, for all rows together."""

import math
from concurrent.futures import ThreadPoolExecutor

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling import adjustments
from concordance_inference.engine.sampling.adjustments import apply_actions, given_bias, given_row
from concordance_shared import AdjustedLogits
from hypothesis import given, settings
from hypothesis import strategies as st

VOCAB = 11
NONE = -math.inf


@pytest.fixture(params=[1, 1024], autouse=True)
def few(request, monkeypatch):
    """Bans of single tokens, and by masks."""
    monkeypatch.setattr(adjustments, "_FEW", request.param)


def logits_after(by_row, rows=3):
    logits = mx.array([[float(i) for i in range(VOCAB)]] * rows)
    return np.array(apply_actions(logits, [by_row.get(i, []) for i in range(rows)])).tolist()


def one(*actions):
    return logits_after({0: [AdjustedLogits(**fields) for fields in actions]}, rows=1)[0]


def left(row):
    return [i for i, logit in enumerate(row) if logit > NONE]


def test_each_kind_of_adjustment():
    assert one({"bias": {2: 0.5, 3: -1.0}})[2:4] == [2.5, 2.0]
    assert left(one({"ban": (0, 10)})) == list(range(1, 10))
    assert left(one({"allow": (3, 7)})) == [3, 7]
    assert left(one({"mask": bytes([0b10001000, 0b100])})) == [3, 7, 10]
    assert one({"logits": given_row([5.0] * VOCAB)}) == [5.0] * VOCAB


def test_an_array_of_biases_is_added():
    steps = given_bias([0.5 * i for i in range(VOCAB)], VOCAB)

    assert one({"bias": steps}) == [1.5 * i for i in range(VOCAB)]
    assert one({"bias": steps}, {"bias": {2: 1.0}}, {"bias": steps})[:3] == [0.0, 2.0, 5.0]
    assert left(one({"bias": steps, "allow": (3,)})) == [3]


def test_arrays_of_biases_are_added_to_their_rows_only():
    changed = logits_after(
        {
            0: [AdjustedLogits(bias=given_bias([1.0] * VOCAB, VOCAB))],
            2: [AdjustedLogits(bias=given_bias(mx.ones((1, VOCAB)) * 2, VOCAB))],
        }
    )

    assert [row[3] for row in changed] == [4.0, 3.0, 5.0]


def test_an_array_of_biases_before_a_mods_own_row_is_cancelled():
    ones = given_bias([1.0] * VOCAB, VOCAB)

    assert one({"bias": ones}, {"logits": given_row([5.0] * VOCAB)}) == [5.0] * VOCAB
    assert one({"logits": given_row([5.0] * VOCAB), "bias": ones}) == [6.0] * VOCAB


@pytest.mark.parametrize("values", [[1.0] * 9, np.ones(9), mx.ones(9), np.ones(9, "f").tobytes()])
def test_padding_of_the_lm_head_gets_no_bias(values):
    assert given_bias(values, VOCAB).tolist() == [1.0] * 9 + [0.0] * 2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_array_of_biases_with_nan_or_infinity_is_refused(value):
    with pytest.raises(ValueError, match="NaN or \\+inf"):
        given_bias([0.0, value], VOCAB)


def test_an_mlx_array_of_biases_is_not_copied_to_the_host(monkeypatch):
    monkeypatch.setattr(adjustments, "np", None)
    monkeypatch.setattr(mx.array, "tolist", None)

    given_bias(mx.ones(VOCAB), VOCAB)


def test_a_bias_does_not_lift_a_ban():
    assert left(one({"ban": (3,), "bias": {3: 5.0, 4: 1.0}})) == [0, 1, 2, *range(4, 11)]


def test_biases_of_one_action_and_of_several_add_up():
    assert left(one({"allow": (1, 2, 3), "ban": (2,)})) == [1, 3]
    assert left(one({"allow": (1, 2, 3)}, {"mask": bytes([0b1100, 0])})) == [2, 3]
    assert one({"bias": {1: 1.0}}, {"bias": {1: 2.0}})[1] == 4.0
    assert left(one({"ban": (1,)}, {"ban": (2,)})) == [0, *range(3, 11)]


def test_a_row_of_a_mods_own_cancels_earlier_actions_only():
    flat = {"logits": given_row([0.0] * VOCAB)}

    assert left(one({"allow": (1,)}, {**flat, "ban": (4,)}, {"bias": {2: 1.0}})) == [
        *range(4),
        *range(5, 11),
    ]


def test_rows_without_actions_do_not_change():
    changed = logits_after({1: [AdjustedLogits(allow=(4,))]})

    assert changed[0] == changed[2] == [float(i) for i in range(VOCAB)]
    assert left(changed[1]) == [4]


def test_a_mask_of_a_smaller_vocabulary_bans_the_ids_beyond_it():
    assert left(one({"mask": bytes([0xFF])})) == list(range(8))


def test_a_mask_used_again_is_a_cache_hit(monkeypatch):
    mask = bytes([0b1010, 1])
    once = one({"mask": mask})
    monkeypatch.setattr(adjustments, "_bits", None)

    assert one({"mask": bytes(bytearray(mask))}) == once
    assert left(once) == [1, 3, 8]


def test_a_mask_unpacked_on_one_thread_is_usable_on_another():
    mask = bytes([0b110, 0])
    apply_actions(mx.array([[0.0] * VOCAB]), [[AdjustedLogits(mask=mask)]])  # never evaluated here

    with ThreadPoolExecutor(1) as other:
        assert left(other.submit(one, {"mask": mask}).result()) == [1, 2]


def test_a_row_may_be_left_without_a_token():
    assert left(one({"allow": (1,)}, {"ban": (1,)})) == []


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([0.0, math.nan], "NaN or"),
        ([0.0, math.inf], "inf"),
        ([NONE, NONE], "no token is left"),
    ],
)
def test_a_row_that_cannot_be_sampled_from_is_rejected(row, error):
    with pytest.raises(ValueError, match=error):
        given_row(row)


def test_a_row_may_be_a_list_bytes_or_any_array():
    for row in (
        [1.0, 2.0],
        np.array([[1.0, 2.0]]),
        mx.array([1, 2]),
        memoryview(np.float32([1, 2])),
        memoryview(np.float64([1, 2])),
    ):
        assert given_row(row).tolist() == [1.0, 2.0]


token_ids = st.lists(st.integers(0, VOCAB - 1), max_size=6)
changes = st.builds(
    AdjustedLogits,
    logits=st.none() | st.builds(given_row, st.lists(st.integers(-3, 3), min_size=11, max_size=11)),
    bias=st.none() | st.dictionaries(st.integers(0, VOCAB - 1), st.integers(-3, 3), max_size=4),
    allow=st.none() | st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=6),
    ban=st.none() | token_ids,
    mask=st.none() | st.binary(min_size=2, max_size=2),
)


def step_by_step(row, actions):
    """A reference: one action and one change at a time."""
    for action in actions:
        if action.logits is not None:
            row = action.logits.tolist()
        row = [logit + (action.bias or {}).get(i, 0) for i, logit in enumerate(row)]
        if action.allow is not None:
            row = [logit if i in action.allow else NONE for i, logit in enumerate(row)]
        row = [NONE if i in (action.ban or ()) else logit for i, logit in enumerate(row)]
        if action.mask is not None:
            bits = action.mask
            row = [s if bits[i // 8] >> i % 8 & 1 else NONE for i, s in enumerate(row)]
    return row


@settings(deadline=None)
@given(by_row=st.dictionaries(st.integers(0, 3), st.lists(changes, min_size=1, max_size=3)))
def test_applying_all_rows_together_equals_one_change_at_a_time(by_row):
    plain = [float(i) for i in range(VOCAB)]
    expected = [step_by_step(plain, by_row.get(i, [])) for i in range(4)]

    assert logits_after(by_row, rows=4) == expected
