"""Device memory: its size, wiring and locking it, and releasing mlx's cached buffers."""

import ctypes
import logging
import os
import sys

import mlx.core as mx

from concordance_inference.engine.model import device

logger = logging.getLogger(__name__)

#: mlx may cache freed buffers up to this fraction of the device's memory.
_IDLE_FRACTION = 1 / 8

#: Above this fraction of the device's memory, cached buffers are released.
_PRESSURE = 0.9

#: Cached buffers below this size are kept between requests, in bytes.
_WORTH_CLEARING = 64 * 1024 * 1024

_MCL_CURRENT_AND_FUTURE = 3  # of Linux's <sys/mman.h>


def memory_size() -> int:
    """Return the memory that models can use on the default device, in bytes.

    On Metal the working set that the system recommends for a process, on CUDA the card's memory, on
    a CPU the machine's.
    """
    if device.runs_on_gpu():
        info = mx.device_info()
        known = info.get("max_recommended_working_set_size") or info.get("total_memory")
        if known:
            return int(known)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def default_kv_bytes(weight_bytes: int) -> int:
    """Return the default of `--kv-memory`, the bytes for the caches of requests.

    On a GPU, 90 % of the memory without the weights and without a reserve for mlx's cached buffers
    and the activations of a pass. On a CPU, half of the memory without the weights, since the
    machine runs other programs too.

        16 GB Mac, 11.4 recommended, 1.8 of weights:   10.3 - 1.8 - 1.4 = 7.0 GB

    Args:
        weight_bytes: Bytes of the model's weights.
    """
    left = usable_bytes() - weight_bytes
    return max(left if device.runs_on_gpu() else left // 2, 0)


def usable_bytes() -> int:
    """Return the memory for weights and caches, in bytes: without reserves and idle buffers."""
    size = memory_size()
    return int(_PRESSURE * size) - (int(_IDLE_FRACTION * size) if device.runs_on_gpu() else 0)


def wire_memory() -> bool:
    """Wire the GPU's memory on Metal, as mlx-lm does; return True if it is wired.

    Without it, a model near the size of the working set runs several times slower.
    """
    if not (device.runs_on_gpu() and mx.metal.is_available()):
        return False
    mx.set_wired_limit(memory_size())
    return True


class MemoryPolicy:
    """Releases mlx's cached buffers between requests, or when memory is short.

    Never between two tokens: the next token needs the same buffers again.
    """

    def __init__(self) -> None:
        """Bound mlx's buffer cache, and wire memory on Metal."""
        self._size = memory_size()
        wire_memory()
        mx.set_cache_limit(int(_IDLE_FRACTION * self._size))

    def between_requests(self) -> None:
        """Release cached buffers above a size; no request is running."""
        if mx.get_cache_memory() > _WORTH_CLEARING:
            mx.clear_cache()

    def before_admission(self) -> None:
        """Release cached buffers if memory is short; requests are about to start."""
        if mx.get_active_memory() + mx.get_cache_memory() > _PRESSURE * self._size:
            mx.clear_cache()


def lock_memory() -> bool:
    """Lock the present and future memory of the process (`--mlock`).

    Linux on a CPU only: on Metal, memory is wired in any case; with CUDA, the weights are in the
    card's memory.

    Returns:
        True if the weights remain in memory; if not, the reason is logged.
    """
    if wire_memory():
        return True
    if not sys.platform.startswith("linux"):
        logger.warning("--mlock has no effect on this system")
        return False
    if device.runs_on_gpu():
        logger.warning("--mlock has no effect with CUDA: the weights are in the card's memory")
        return True
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
        return True
    reason = os.strerror(ctypes.get_errno())
    logger.warning("--mlock: memory cannot be locked: %s; raise the limit (ulimit -l)", reason)
    return False
