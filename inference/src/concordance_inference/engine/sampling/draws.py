"""What the sampler draws: random numbers that belong to one request alone, or no token.

A draw depends on the request's seed and on how many draws it had before, and on nothing else: not
on its neighbours in the batch, not on the device, not on passes that were wasted.
"""

#: Changes a seed into that of another series of draws, for the same positions.
XTC_SERIES = 0x5851F42D4C957F2D

#: What stands for a token where none can be sampled: every score was -inf, or one was no number.
NO_TOKEN = -1

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 0xFFFFFFFFFFFFFFFF


def uniform(seed: int, index: int) -> float:
    """Draw number `index` of a seed, in [0, 1), evenly distributed.

    The output function of SplitMix64 (Steele, Lea and Flood, 2014) over a counter.
    """
    z = (seed * _GOLDEN + (index + 1) * 0xD1B54A32D192ED03) & _MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return ((z ^ (z >> 31)) >> 40) / (1 << 24)
