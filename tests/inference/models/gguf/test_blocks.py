"""Quantized blocks, compared with the package `gguf`."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.models.gguf.blocks import affine, block_type, unpacked
from gguf import GGML_QUANT_SIZES, quants
from gguf import GGMLQuantizationType as Type
from gguf_files import quantized

SHAPE = (6, 512)
AFFINE = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K]
OTHERS = [Type.Q2_K, Type.Q3_K, Type.Q6_K, Type.IQ4_NL, Type.IQ4_XS, Type.BF16]


def blocks_of(type_):
    weights = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    return quantized(weights, type_).reshape(-1, GGML_QUANT_SIZES[type_][1])


@pytest.mark.parametrize("type_", [*AFFINE, *OTHERS], ids=lambda type_: type_.name)
def test_blocks_are_unpacked_as_by_the_package_gguf(type_):
    blocks = blocks_of(type_)
    expected = quants.dequantize(blocks, type_).reshape(SHAPE)
    weights = unpacked(block_type(type_.value), blocks).reshape(SHAPE)

    assert np.abs(expected).max() > 0.005
    np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize("type_", AFFINE, ids=lambda type_: type_.name)
def test_repacked_blocks_dequantize_to_the_same_weights(type_):
    blocks = blocks_of(type_)
    groups = affine(block_type(type_.value), blocks)
    rows = SHAPE[0]
    weights = mx.dequantize(
        mx.array(groups.packed().reshape(rows, -1)),
        mx.array(groups.scales.reshape(rows, -1)),
        mx.array(groups.biases.reshape(rows, -1)),
        group_size=32,
        bits=groups.bits,
    )

    expected = quants.dequantize(blocks, type_).reshape(SHAPE)
    np.testing.assert_allclose(np.array(weights), expected, atol=1e-5)


@pytest.mark.parametrize("type_", OTHERS, ids=lambda type_: type_.name)
def test_types_without_an_mlx_layout_are_not_affine(type_):
    assert affine(block_type(type_.value), blocks_of(type_)) is None


def test_an_unknown_block_type_is_none():
    assert block_type(999) is None


@pytest.mark.parametrize("type_", list(Type), ids=lambda type_: type_.name)
def test_block_sizes_match_the_package_gguf(type_):
    known = block_type(type_.value)

    assert (known.num_elements, known.num_bytes) == GGML_QUANT_SIZES[type_]
