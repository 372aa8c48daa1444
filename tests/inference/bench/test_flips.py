"""The probability that a draw differs between a row alone and one of eight."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.bench.flips import (
    compare,
    gumbel_flips,
    inversion_flips,
    reorder,
)
from concordance_inference.engine.sampling.noise import (
    id_array,
    key_array,
    negative_gumbel,
    noise_bits,
)
from concordance_inference.engine.sampling.rng import draw_key, uniform
from families import build_model

RNG = np.random.default_rng(1)
ONE = (2 * RNG.normal(size=200)).astype(np.float32)
OTHER = (ONE + 0.01 * RNG.normal(size=200)).astype(np.float32)
DRAWS = 40_000


def test_logits_of_a_row_alone_and_of_one_in_a_batch_are_compared(subject):
    messages: list[str] = []
    flips = compare(subject, num_positions=3, report=messages.append)

    assert [message for message in messages if "alone" in message] == [
        f"processing row {row} of 8 alone" for row in range(1, 9)
    ]
    assert flips.positions == 8 * 3
    assert flips.gumbel <= flips.inversion < 1e-3
    assert flips.rounding < 1e-4


def test_gumbel_flips_is_the_frequency_of_another_argmax():
    keys = key_array([draw_key(1, i) for i in range(DRAWS)])
    noise = negative_gumbel(noise_bits(id_array(200), keys))
    one, other = (mx.argmax(mx.array(logits) - noise, axis=-1) for logits in (ONE, OTHER))

    assert (one != other).mean().item() == pytest.approx(gumbel_flips(ONE, OTHER), rel=0.15)


def test_inversion_flips_is_the_frequency_of_another_token():
    numbers = np.array([uniform(1, i) for i in range(DRAWS)])
    sums = [np.cumsum(np.exp(logits)) for logits in (ONE, OTHER)]
    one, other = (np.searchsorted(s, numbers * s[-1]) for s in sums)

    assert (one != other).mean() == pytest.approx(inversion_flips(ONE, OTHER), rel=0.15)


def test_equal_logits_never_flip():
    assert gumbel_flips(ONE, ONE) == pytest.approx(0, abs=1e-15)
    assert inversion_flips(ONE, ONE) == pytest.approx(0, abs=1e-12)


def test_a_reordered_model_differs_by_rounding_only():
    model = build_model("llama", hidden_size=64, intermediate_size=512)
    tokens = mx.array([[5, 3, 8, 2, 9]])
    before = np.array(model(tokens))
    reorder(model)
    after = np.array(model(tokens))

    assert 0 < np.abs(after - before).max() < 1e-3
