"""Element-wise chains of operations, fused into one kernel where that pays.

On a GPU each operation is a kernel of its own and a launch costs 5 to 20 us, so that a chain is
compiled. On a CPU a launch costs nothing, mlx's own operations use vectorized logarithms and
exponentials, which a compiled chain does not, and compiling runs a C++ compiler at first use.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import mlx.core as mx

from concordance_inference.engine.model import device

P = ParamSpec("P")
T = TypeVar("T")


def fused(function: Callable[P, T]) -> Callable[P, T]:
    """Make a pure function of arrays that is one kernel on a GPU, and as it is on a CPU.

    Both forms do the same operations in the same order. They may differ in the last bit of a
    logarithm or an exponential.
    """
    compiled = mx.compile(function)

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return compiled(*args, **kwargs) if device.runs_on_gpu() else function(*args, **kwargs)

    return call
