"""Gumbel noise: one number for each token, from the key of a draw and the token's id.

A token is drawn as `argmax(logits / temperature + gumbel)`, which has the distribution of the
softmax (Gumbel-max). The noise of a token depends on the key and the token's id alone. So the draw
does not depend on other rows, the batch's shape or the size of the vocabulary, and rounding of the
logits, which differs from batch to batch, changes the token only at a near tie:

    token               0        1        2
    logit / temp.       2.0      1.0      1.2
    gumbel              0.1      1.8      0.3
    sum                 2.1      2.8      1.5       token 1; a change of all logits by 1e-5 keeps it

(Inverting the cumulative distribution would move every boundary between tokens instead.)

The noise, exactly, for a 64-bit key (`rng.draw_key(seed, index)`) and a token id:

    low, high = key & 0xFFFFFFFF, key >> 32
    x = id * 0x9E3779B9 + low            all arithmetic modulo 2**32
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = x ^ high
    x = (x ^ (x >> 15)) * 0x846CA68B
    bits = x ^ (x >> 16)                 32 bits, the same on every device

    v = (bits + 0.5) / 2**32             in (0, 1), at most 1 - 2**-24
    gumbel = -log(-log(1 - v))           in [-2.812, 22.874]

The multipliers are those of `lowbias32` (Wellons, 2018). The floating-point part is float32 here;
a float64 version of the same formula differs by rounding only.

`draw_key(7, 3)` is 0x986B8F4BBB8C694E; its bits for the ids 0, 1 and 49,151 are 0x60C6173A,
0xEB82935E and 0xFA382AD6.
"""

from collections.abc import Sequence
from functools import lru_cache

import mlx.core as mx

_HALF = 0xFFFFFFFF

#: The largest value of `v`. Float32 would round (2**32 - 0.5) / 2**32 to 1, whose noise is -inf.
_MAX = 1 - 2**-24


def key_array(keys: Sequence[int]) -> mx.array:
    """Put keys on the device, each as its low and its high 32 bits.  (rows, 2) uint32"""
    return mx.array([(key & _HALF, key >> 32) for key in keys], mx.uint32).reshape(-1, 2)


def noise_bits(ids: mx.array, keys: mx.array) -> mx.array:
    """Hash each key with each token id.

    Args:
        ids: `id_array` of the vocabulary.  (vocab,) uint32
        keys: (rows, 2) uint32

    Returns:
        (rows, vocab) uint32
    """
    x = ids + keys[:, :1]
    x = (x ^ (x >> _u32(16))) * _u32(0x7FEB352D)
    x = x ^ keys[:, 1:]
    x = (x ^ (x >> _u32(15))) * _u32(0x846CA68B)
    return x ^ (x >> _u32(16))


@lru_cache(maxsize=8)
def id_array(vocab_size: int) -> mx.array:
    """Return each token id times 0x9E3779B9, computed once per vocabulary.  (vocab,) uint32"""
    ids = mx.arange(vocab_size, dtype=mx.uint32) * _u32(0x9E3779B9)
    mx.eval(ids)
    return ids


def negative_gumbel(bits: mx.array) -> mx.array:
    """Return `log(-log(1 - v))`, the negative of the noise.  uint32 -> float32, same shape

    A small `v` gives large noise, with which improbable tokens are drawn, but float32 rounds
    `1 - v` to a multiple of 2**-24: for v = 2**-33, `1 - v` is 1 and `-log(1 - v)` would be 0
    instead of 2**-33. The rounding error `lost` is computed exactly and added again: to first
    order, -log(1 - v) = lost - log(rest).
    """
    v = mx.minimum(bits.astype(mx.float32) * 2**-32 + 2**-33, _MAX)
    rest = 1 - v
    lost = v - (1 - rest)
    return mx.log(lost - mx.log(rest))


def _u32(value: int) -> mx.array:
    return mx.array(value, mx.uint32)
