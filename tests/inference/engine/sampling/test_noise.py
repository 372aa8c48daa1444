"""Gumbel noise: bits from a key and a token id, and noise from bits."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine.model import device
from concordance_inference.engine.sampling import fused
from concordance_inference.engine.sampling.noise import (
    id_array,
    key_array,
    negative_gumbel,
    noise_bits,
)
from concordance_inference.engine.sampling.rng import draw_key

from tests.gumbel import bits_of, gumbel_of, key_of

KEYS = [0, 1, 2**32 - 1, 2**32, 2**64 - 1, draw_key(7, 3), draw_key(-1, 0), draw_key(2**70, 9)]


def bits(keys, vocab_size=1000):
    return noise_bits(id_array(vocab_size), key_array(keys))


def test_bits_equal_the_definition():
    expected = [[bits_of(key, token_id) for token_id in range(1000)] for key in KEYS]

    assert bits(KEYS).tolist() == expected


def test_bits_equal_the_documented_values():
    found = bits([draw_key(7, 3)], 49152)[0]

    assert [hex(found[i].item()) for i in (0, 1, 49151)] == [
        "0x60c6173a",
        "0xeb82935e",
        "0xfa382ad6",
    ]


def test_bits_do_not_depend_on_the_size_of_the_vocabulary():
    assert bits(KEYS, 10).tolist() == bits(KEYS)[:, :10].tolist()


def test_a_compiled_chain_returns_the_same_bits():
    compiled = mx.compile(noise_bits)

    assert compiled(id_array(1000), key_array(KEYS)).tolist() == bits(KEYS).tolist()


@pytest.mark.parametrize("form", [negative_gumbel, mx.compile(negative_gumbel)])
def test_noise_is_exact_to_a_few_ulp_over_the_whole_range(form):
    rng = np.random.default_rng(1)
    edges = [0, 1, 2, 3, 127, 128, 129, 255, 256, 2**24, 2**24 + 1, 2**31, 2**32 - 256, 2**32 - 1]
    drawn = [int(rng.integers(0, 2 ** (i % 33))) for i in range(3000)]
    found = -form(mx.array([*edges, *drawn], mx.uint32))
    expected = [gumbel_of(b) for b in [*edges, *drawn]]

    assert np.allclose(np.array(found), expected, rtol=4e-7, atol=4e-7)


def test_noise_has_the_mean_and_variance_of_a_gumbel_variable():
    noise = -negative_gumbel(bits([draw_key(1, i) for i in range(50)], 20000))

    assert abs(noise.mean().item() - 0.57722) < 0.004  # 1,000,000 numbers: sigma 0.0013
    assert abs(noise.var().item() - np.pi**2 / 6) < 0.015


def test_noise_of_consecutive_keys_tokens_and_seeds_is_not_correlated():
    n = 20000
    one = np.array(bits([draw_key(1, 0)], n + 1)[0]).astype(np.float64)
    others = [
        np.array(bits([draw_key(seed, index)], n)[0]) for seed, index in [(1, 1), (2, 0), (1, 2)]
    ]

    for other in [*others, one[1:]]:
        assert abs(np.corrcoef(one[:n], other)[0, 1]) < 0.03


def test_each_bit_of_a_key_changes_half_of_the_bits_of_the_noise():
    base = bits([draw_key(1, 0)], 500)
    for bit in range(64):
        changed = np.array(bits([draw_key(1, 0) ^ (1 << bit)], 500) ^ base)
        share = np.unpackbits(changed.view(np.uint8)).mean()
        assert 0.35 < share < 0.65, bit


def test_a_key_exists_for_any_bits():
    assert [bits_of(key_of(i, b), i) for i in (0, 49151) for b in (0, 5, 2**32 - 1)] == [
        0, 5, 2**32 - 1, 0, 5, 2**32 - 1,
    ]  # fmt: skip


def test_element_wise_chains_are_compiled_on_a_gpu_only(monkeypatch):
    def compiled(function):
        return lambda x: -function(x)

    monkeypatch.setattr(fused.mx, "compile", compiled)
    double = fused.fused(lambda x: 2 * x)
    monkeypatch.setattr(device, "runs_on_gpu", lambda: False)
    assert double(3) == 6
    monkeypatch.setattr(device, "runs_on_gpu", lambda: True)
    assert double(3) == -6
