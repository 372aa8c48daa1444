import math

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.trace_values import TraceValues


def reference(logits):
    shifted = logits.astype(np.float64) - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


@pytest.mark.parametrize("size", [7, 257, 5003])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_probabilities_and_entropy_equal_those_of_numpy(size, scale):
    logits = (scale * np.random.default_rng(size).normal(size=(2, size))).astype(np.float32)
    adjusted = logits.copy()
    adjusted[1, :3] = -np.inf
    values = TraceValues(
        mx.array(logits), mx.array([4, 5]), mx.array(adjusted), [False, True]
    ).read()

    for i, (row, token_id) in enumerate(zip(values, (4, 5), strict=True)):
        logprobs = reference(logits[i])
        assert row[0] == pytest.approx(logprobs[token_id], abs=1e-4)
        assert row[2] == pytest.approx(-(np.exp(logprobs) * logprobs).sum(), abs=1e-3)
        best = np.argsort(-logits[i], kind="stable")[:5]
        assert row[4:9] == best.tolist()
        assert row[9:14] == pytest.approx(logprobs[best], abs=1e-4)
    after = reference(adjusted[1])
    assert values[1][1] == pytest.approx(after[5], abs=1e-4)
    assert values[1][3] == size - 3
    assert values[0][1] == values[0][3] == 0
    best = np.argsort(-adjusted[1], kind="stable")[:5]
    assert values[1][19:24] == best.tolist()
    assert values[1][24:29] == pytest.approx(reference(logits[1])[best], abs=1e-4)
    assert values[1][29:34] == pytest.approx(after[best], abs=1e-4)


def test_a_banned_token_has_no_entropy_and_is_no_alternative_after_adjustments():
    logits = mx.array([[0.0, 1.0, -math.inf, 2.0, 3.0, 0.5]])

    (row,) = TraceValues(logits, mx.array([4]), logits, [True]).read()

    assert math.isfinite(row[2])
    assert row[0] == pytest.approx(row[1], abs=1e-6)


def test_adjustments_that_leave_all_tokens_possible_have_no_allowed_set():
    logits = mx.array([[0.0, 1.0, -math.inf, 2.0, 3.0, 0.5]])

    (row,) = TraceValues(logits, mx.array([4]), logits + 1, [True]).read()

    assert row[3] == 0
