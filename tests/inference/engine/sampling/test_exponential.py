import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.sampling.exponential import LEAST, exp


@pytest.mark.parametrize(
    ("low", "high", "error"), [(-20, 20, 2e-6), (-86, 88, 1e-5), (-1, 0, 3e-7)]
)
def test_exponentials_are_those_of_numpy(low, high, error):
    values = np.linspace(low, high, 100_001, dtype=np.float32)
    expected = np.exp(values.astype(np.float64))

    assert np.abs(np.array(exp(mx.array(values))) / expected - 1).max() < error


def test_small_arguments_count_as_the_least():
    values = mx.array([-np.inf, -1e30, LEAST - 1, LEAST, 0.0])
    assert exp(values).tolist() == [exp(mx.array([LEAST])).item()] * 4 + [1.0]
    assert exp(values[:1]).item() < 1e-37
    assert np.isnan(exp(mx.array([np.nan])).item())
