"""The device that arrays are computed on, and what follows from its kind."""

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

#: Tokens of prompts that one step reads. A GPU wants many rows in a product, and reads nearly all
#: experts' weights once per step.
_CHUNK_ON_GPU = 2048
_CHUNK_ON_CPU = 256

#: How much of the caches is resized in one step while rows decode. A CPU takes some 15 ms for it
#: where it touches memory for the first time.
_RESIZE_BYTES_ON_GPU = 1 << 30
_RESIZE_BYTES_ON_CPU = 32 << 20


def runs_on_gpu() -> bool:
    """Return whether the default device is a GPU, be it Metal or CUDA."""
    return mx.default_device().type == mx.DeviceType.gpu


def default_chunk() -> int:
    """Return the number of tokens of prompts that one step reads at most."""
    return _CHUNK_ON_GPU if runs_on_gpu() else _CHUNK_ON_CPU


def resize_bytes() -> int:
    """Return the number of bytes of caches that one step resizes at most."""
    return _RESIZE_BYTES_ON_GPU if runs_on_gpu() else _RESIZE_BYTES_ON_CPU


def computes_in_16_bit(model: Any) -> bool:
    """Return whether any of a model's floating-point parameters has 16 bits.

    Quantized weights are integers, and compute in the type of their scales.

    Args:
        model: One of mlx-lm's.
    """
    parameters = getattr(model, "parameters", dict)
    leaves: Any = tree_flatten(parameters())
    return any(leaf.dtype in (mx.float16, mx.bfloat16) for _, leaf in leaves)
