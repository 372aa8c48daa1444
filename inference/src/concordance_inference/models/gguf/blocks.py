"""Converts GGUF's quantized tensors to MLX's affine layout, or unpacks them.

Most GGUF types are affine in groups of 32 weights, weight = scale * q + bias, as MLX's are. They
are repacked; the only loss is the rounding of scales to float16. The other types (Q2_K, Q3_K and
Q6_K with groups of 16, and the IQ types with lookup tables) are unpacked by the package `gguf`.
Layouts: https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-common.h.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from msgspec import Struct

#: Weights that share a scale.
GROUP_SIZE = 32


class BlockType(Struct, frozen=True):
    """A GGUF tensor type."""

    id: int
    name: str
    num_elements: int  # per block
    num_bytes: int  # per block


class Affine(Struct, frozen=True, eq=False):
    """Quantized weights: weight = scale * q + bias, for groups of 32."""

    bits: int
    quants: np.ndarray  # (groups, 32) uint8
    scales: np.ndarray  # (groups,) float32
    biases: np.ndarray  # (groups,) float32

    def unpacked(self) -> np.ndarray:
        """Return the weights.  (groups, 32) float32"""
        weights = self.quants * self.scales[:, None]
        weights += self.biases[:, None]
        return weights

    def packed(self) -> np.ndarray:
        """Return the quants in MLX's packing, lowest bit first.  (groups, bits) uint32"""
        if self.bits == 8:
            return np.ascontiguousarray(self.quants).view("<u4")
        if self.bits == 4:
            pairs = self.quants[:, ::2] | self.quants[:, 1::2] << 4
            return np.ascontiguousarray(pairs).view("<u4")
        bits = np.unpackbits(self.quants[..., None], axis=-1, count=self.bits, bitorder="little")
        packed = np.packbits(bits.reshape(len(self.quants), -1), axis=-1, bitorder="little")
        return packed.view("<u4")


def block_type(number: int) -> BlockType | None:
    """Return a tensor type by its number in the file; `None` if it is unknown."""
    known = _PLAIN.get(number) or _AFFINE.get(number)
    return known or _other_type(number)


def affine(kind: BlockType, blocks: np.ndarray) -> Affine | None:
    """Convert quantized blocks to MLX's layout; `None` for types that MLX has no layout for.

    Args:
        kind: The type.
        blocks: (blocks, bytes per block) uint8
    """
    convert = _CONVERSIONS.get(kind.name)
    return convert(blocks) if convert else None


def can_unpack(kind: BlockType) -> bool:
    """True if `unpacked` supports a type. It does not support integers, and a few rare types."""
    if kind.id in _PLAIN or kind.id in _AFFINE:
        return True
    from gguf import GGMLQuantizationType, quants  # noqa: PLC0415  # few files need it

    one = np.zeros((1, kind.num_bytes), np.uint8)
    try:
        quants.dequantize(one, GGMLQuantizationType(kind.id))
    except NotImplementedError:
        return False
    return True


def unpacked(kind: BlockType, blocks: np.ndarray) -> np.ndarray:
    """Return the weights of blocks of any type.  (blocks, elements)

    Float16 and float32 keep their type; bfloat16 and the quantized types become float32.
    """
    if kind.name in ("F32", "F16"):
        return blocks.view({"F32": "<f4", "F16": "<f2"}[kind.name])
    if kind.name == "BF16":
        return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)
    groups = affine(kind, blocks)
    if groups is not None:
        return groups.unpacked()
    from gguf import GGMLQuantizationType, quants  # noqa: PLC0415  # few files need it

    return quants.dequantize(blocks, GGMLQuantizationType(kind.id))


def _other_type(number: int) -> BlockType | None:
    """Return a type that only the package `gguf` can unpack."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType  # noqa: PLC0415

    try:
        kind = GGMLQuantizationType(number)
    except ValueError:
        return None
    return BlockType(number, kind.name, *GGML_QUANT_SIZES[kind])


def _half(blocks: np.ndarray, start: int) -> np.ndarray:
    """Return the float16 at byte `start` of each block.  (blocks,) float32"""
    return np.ascontiguousarray(blocks[:, start : start + 2]).view("<f2")[:, 0].astype(np.float32)


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Return the low halves of all bytes, then the high halves.  (..., n) -> (..., 2 n)"""
    return np.concatenate([packed & 0xF, packed >> 4], axis=-1)


def _fifth_bits(packed: np.ndarray) -> np.ndarray:
    """Return bit j of each block, shifted to bit 4 of weight j.  (blocks, 4) -> (blocks, 32)"""
    return np.unpackbits(packed, axis=-1, bitorder="little") << 4


def _centred(bits: int, quants: np.ndarray, scales: np.ndarray) -> Affine:
    """Convert a type without biases: its zero point is the middle of the range."""
    return Affine(bits, quants, scales, scales * -float(1 << (bits - 1)))


def _q4(blocks: np.ndarray, *, has_bias: bool) -> Affine:
    quants, scales = _nibbles(blocks[:, 4 if has_bias else 2 :]), _half(blocks, 0)
    return Affine(4, quants, scales, _half(blocks, 2)) if has_bias else _centred(4, quants, scales)


def _q5(blocks: np.ndarray, *, has_bias: bool) -> Affine:
    start = 4 if has_bias else 2
    quants = _nibbles(blocks[:, start + 4 :]) | _fifth_bits(blocks[:, start : start + 4])
    scales = _half(blocks, 0)
    return Affine(5, quants, scales, _half(blocks, 2)) if has_bias else _centred(5, quants, scales)


def _q8_0(blocks: np.ndarray) -> Affine:
    return _centred(8, blocks[:, 2:] ^ 0x80, _half(blocks, 0))  # int8 + 128, as a byte


def _q4_k(blocks: np.ndarray) -> Affine:
    nibbles = _nibbles(blocks[:, 16:].reshape(-1, 4, 32))
    return Affine(4, nibbles.reshape(-1, GROUP_SIZE), *_k_scales(blocks))


def _q5_k(blocks: np.ndarray) -> Affine:
    nibbles = _nibbles(blocks[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    # Bit i of byte j belongs to weight j of group i.
    fifth = (blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    return Affine(5, (nibbles | fifth << 4).reshape(-1, GROUP_SIZE), *_k_scales(blocks))


def _k_scales(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpack scales and biases of a block's 8 groups: 6 bits each in 12 bytes.  (groups,)"""
    low, middle, high = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]
    scales = np.concatenate([low & 63, (high & 0xF) | (low >> 6 << 4)], axis=-1)
    mins = np.concatenate([middle & 63, (high >> 4) | (middle >> 6 << 4)], axis=-1)
    scales = scales * _half(blocks, 0)[:, None]
    return scales.reshape(-1), (mins * -_half(blocks, 2)[:, None]).reshape(-1)


def _table(*types: BlockType) -> dict[int, BlockType]:
    return {kind.id: kind for kind in types}


_PLAIN = _table(BlockType(0, "F32", 1, 4), BlockType(1, "F16", 1, 2), BlockType(30, "BF16", 1, 2))
_AFFINE = _table(
    BlockType(2, "Q4_0", 32, 18),
    BlockType(3, "Q4_1", 32, 20),
    BlockType(6, "Q5_0", 32, 22),
    BlockType(7, "Q5_1", 32, 24),
    BlockType(8, "Q8_0", 32, 34),
    BlockType(12, "Q4_K", 256, 144),
    BlockType(13, "Q5_K", 256, 176),
)
_CONVERSIONS: dict[str, Callable[[np.ndarray], Affine]] = {
    "Q4_0": partial(_q4, has_bias=False),
    "Q4_1": partial(_q4, has_bias=True),
    "Q5_0": partial(_q5, has_bias=False),
    "Q5_1": partial(_q5, has_bias=True),
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
}
