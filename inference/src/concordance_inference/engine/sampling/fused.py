"""Fuses chains of element-wise operations into one kernel on a GPU.

On a GPU each operation is a kernel, and a launch costs 5 to 20 us: a chain of 12 operations takes
12 launches, compiled it takes one. On a CPU a launch costs nothing; mlx's own operations use
vectorized logarithms and exponentials, which a compiled chain does not; and compiling runs a C++
compiler at first use. So on a CPU nothing is compiled.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import mlx.core as mx

from concordance_inference.engine.model import device

P = ParamSpec("P")
T = TypeVar("T")


def fused(function: Callable[P, T]) -> Callable[P, T]:
    """Compile a pure function of arrays when it runs on a GPU; leave it as it is on a CPU.

    Both run the same operations in the same order. They may differ in the last bit of a logarithm
    or an exponential.
    """
    compiled = mx.compile(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return compiled(*args, **kwargs) if device.runs_on_gpu() else function(*args, **kwargs)

    return call
