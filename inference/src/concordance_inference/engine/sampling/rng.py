"""Random numbers of a request, and the values that the sampler returns in place of a token.

A random number depends on the request's seed and the number of earlier draws, and on nothing else:
not on other rows of the batch, the device, or discarded forward passes.
"""

#: XORed with a seed, it gives the seed of an independent series: the draws of XTC.
XTC_SERIES = 0x5851F42D4C957F2D

#: In place of a token if none can be sampled: all logits are -inf, or one is NaN or +inf.
NO_TOKEN = -1

#: In place of a token if the sorted candidates are too few to apply top-p.
TOO_FEW = -2

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


def draw_key(seed: int, index: int) -> int:
    """Return the key of draw number `index` of a seed: 64 bits, in [0, 2**64).

    The output function of SplitMix64 (Steele, Lea and Flood, 2014) over a counter. `noise` turns
    a key into one number for each token of the vocabulary.

    Args:
        seed: Any integer; taken modulo 2**64.
        index: Number of draws before this one that were not discarded, from 0.
    """
    z = (seed * _GOLDEN + (index + 1) * 0xD1B54A32D192ED03) & _MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def uniform(seed: int, index: int) -> float:
    """Return a number in [0, 1), evenly distributed: the highest 24 bits of `draw_key`."""
    return (draw_key(seed, index) >> 40) / (1 << 24)
