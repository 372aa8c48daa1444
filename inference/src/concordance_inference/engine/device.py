"""The device that arrays are computed on."""

import mlx.core as mx


def runs_on_gpu() -> bool:
    """Return whether the default device is a GPU, be it Metal or CUDA."""
    return mx.default_device().type == mx.DeviceType.gpu
