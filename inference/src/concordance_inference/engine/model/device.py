"""The device on which arrays are computed, and defaults that depend on it."""

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

#: Prompt tokens that one step prefills. A GPU needs many rows in a matrix product, and with a
#: mixture of experts, a large chunk loads nearly all experts' weights only once.
_CHUNK_ON_GPU = 2048
_CHUNK_ON_CPU = 256

#: Highest logits that are sorted for top-k and top-p: nearly always enough.
_CANDIDATES_ON_CPU = 1024

#: Bytes of the caches that are resized in one step while rows decode. A CPU takes some 15 ms for
#: this many bytes when it writes to memory for the first time.
_RESIZE_BYTES_ON_GPU = 1 << 30
_RESIZE_BYTES_ON_CPU = 32 << 20


def runs_on_gpu() -> bool:
    """Return True if the default device is a GPU, Metal or CUDA."""
    return mx.default_device().type == mx.DeviceType.gpu


def default_chunk() -> int:
    """Return the maximum number of prompt tokens that one step prefills."""
    return _CHUNK_ON_GPU if runs_on_gpu() else _CHUNK_ON_CPU


def default_candidates() -> int | None:
    """Return how many of the highest logits to sort for top-k and top-p; `None` for all.

    A GPU selects candidates by a sort of all logits, so that there is nothing to gain.
    """
    return None if runs_on_gpu() else _CANDIDATES_ON_CPU


def resize_bytes() -> int:
    """Return the maximum number of bytes of caches that one step resizes."""
    return _RESIZE_BYTES_ON_GPU if runs_on_gpu() else _RESIZE_BYTES_ON_CPU


def computes_in_16_bit(model: Any) -> bool:
    """Return True if any of a model's floating-point parameters has 16 bits.

    Quantized weights are integers and compute in the type of their scales.

    Args:
        model: One of mlx-lm's.
    """
    parameters = getattr(model, "parameters", dict)
    leaves: Any = tree_flatten(parameters())
    return any(leaf.dtype in (mx.float16, mx.bfloat16) for _, leaf in leaves)
