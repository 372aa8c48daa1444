"""Gumbel noise for the draw: one number for each token, from a key and the token's id.

A token is drawn as `argmax(logits / temperature + gumbel)`, which has the distribution of the
softmax (Gumbel-max). The noise of a token depends on its key and its id alone, so that a small
change of one logit, such as rounding, changes the token only at a near tie of the two largest
sums. It never depends on the other rows, the batch's shape or the vocabulary's size.

The noise, exactly, for a 64-bit key (`draws.draw_key(seed, index)`) and a token id:

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

    `1 - v` has no room for a small `v`, which is where large noise comes from and unlikely tokens
    are drawn: what it was rounded by is added again, so that `v` counts with all of its digits.
    """
    v = mx.minimum(bits.astype(mx.float32) * 2**-32 + 2**-33, _MAX)
    rest = 1 - v
    lost = v - (1 - rest)
    return mx.log(lost - mx.log(rest))


def _u32(value: int) -> mx.array:
    return mx.array(value, mx.uint32)
