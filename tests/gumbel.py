"""Gumbel noise by its definition, in integers and float64, one token at a time."""

import math

_MASK = 0xFFFFFFFF


def bits_of(key, token_id):
    """Return 32 bits for a 64-bit key and a token id."""
    low, high = key & _MASK, key >> 32
    x = (token_id * 0x9E3779B9 + low) & _MASK
    x = (x ^ (x >> 16)) * 0x7FEB352D & _MASK
    x ^= high
    x = (x ^ (x >> 15)) * 0x846CA68B & _MASK
    return x ^ (x >> 16)


def gumbel_of(bits):
    """Return the Gumbel variable of 32 bits."""
    v = min((bits + 0.5) / 2**32, 1 - 2**-24)
    return -math.log(-math.log1p(-v))


def gumbel(key, token_id):
    """Return the Gumbel variable of a token."""
    return gumbel_of(bits_of(key, token_id))


def key_of(token_id, bits):
    """Return a key with which a token has these bits: the inverse, with a low half of 1."""
    x = bits ^ (bits >> 16)
    x = x * pow(0x846CA68B, -1, 2**32) & _MASK
    x = x ^ (x >> 15) ^ (x >> 30)
    before = (token_id * 0x9E3779B9 + 1) & _MASK
    before = (before ^ (before >> 16)) * 0x7FEB352D & _MASK
    return (x ^ before) << 32 | 1
