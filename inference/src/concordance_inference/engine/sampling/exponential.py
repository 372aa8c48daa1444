"""A fast exponential for rows of logits.

On a CPU, `mx.exp` computes one number at a time, in about 10 ns, but sums and products use SIMD
instructions. With y = x / log(2) = i + f and |f| <= 0.5, exp(x) is 2^i times 2^f.
A polynomial gives 2^f, and the bits of i + 127, as an exponent, are 2^i:

    x = 1     y = 1.4427     i = 1, f = 0.4427     2^i = 2, 2^f = 1.3591     exp(x) = 2.7183
"""

import mlx.core as mx

from concordance_inference.engine.model import device

#: Logarithms of the smallest and the largest result. Smaller arguments count as the smallest.
LEAST = -87.0
_MOST = 88.0

_LOG2_E = 1.4426950408889634

#: Of the polynomial for 2^f, that of f^6 first.
_COEFFICIENTS = (1.54e-4, 0.00133995, 0.00961817, 0.0555032, 0.240226462, 0.693147182, 1.0)


def exp(values: mx.array) -> mx.array:
    """Compute exponentials with a relative error below 1e-5, and below 5e-7 from -20 to 20.

    Args:
        values: float32; below `LEAST` they count as `LEAST`.
    """
    if device.runs_on_gpu():
        return mx.exp(mx.maximum(values, LEAST))
    scaled = mx.clip(values, LEAST, _MOST) * _LOG2_E
    whole = mx.round(scaled)
    part = scaled - whole
    power = part * _COEFFICIENTS[0] + _COEFFICIENTS[1]
    for coefficient in _COEFFICIENTS[2:]:
        power = power * part + coefficient
    return power * mx.left_shift(whole.astype(mx.int32) + 127, 23).view(mx.float32)
