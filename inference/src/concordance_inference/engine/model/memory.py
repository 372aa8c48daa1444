"""The device's memory: its size, keeping weights in it, giving back idle buffers."""

import ctypes
import logging
import os
import sys

import mlx.core as mx

from concordance_inference.engine.model import device

logger = logging.getLogger(__name__)

#: mlx may keep freed buffers up to this fraction of the device's memory.
_IDLE_FRACTION = 1 / 8

#: From this fraction of the memory on, idle buffers are given back.
_PRESSURE = 0.9

#: Less than this is not worth giving back between requests, in bytes.
_WORTH_CLEARING = 64 * 1024 * 1024

_MCL_CURRENT_AND_FUTURE = 3  # of Linux's <sys/mman.h>


def memory_size() -> int:
    """Return the memory that models can use on the default device, in bytes.

    On Metal, what the system recommends for a process; on CUDA, the card's memory; on a CPU, the
    machine's.
    """
    if device.runs_on_gpu():
        info = mx.device_info()
        known = info.get("max_recommended_working_set_size") or info.get("total_memory")
        if known:
            return int(known)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def default_kv_bytes(weight_bytes: int) -> int:
    """Return the bytes that the caches of requests may take if `--kv-memory` does not say.

    On a GPU, what the weights leave, less a reserve for the buffers that mlx keeps and for what a
    pass computes. On a CPU, half of what the weights leave: the machine has other things to do
    with its memory.

        16 GB Mac, 11.4 recommended, 1.8 of weights:   10.3 - 1.8 - 1.4 = 7.0 GB

    Args:
        weight_bytes: Bytes of the model's weights.
    """
    size = memory_size()
    left = int(_PRESSURE * size) - weight_bytes
    return max(left - int(_IDLE_FRACTION * size) if device.runs_on_gpu() else left // 2, 0)


def wire_memory() -> bool:
    """Keep what the GPU uses in memory, on Metal, as mlx-lm does; return whether that is done.

    Without it, a model near the size of the working set runs several times slower.
    """
    if not (device.runs_on_gpu() and mx.metal.is_available()):
        return False
    mx.set_wired_limit(memory_size())
    return True


class MemoryPolicy:
    """Gives back buffers that mlx keeps for later: between requests, or when memory is short.

    Never between two tokens: the next one needs the same buffers again.
    """

    def __init__(self) -> None:
        """Bound what mlx keeps, and wire memory on Metal."""
        self._size = memory_size()
        wire_memory()
        mx.set_cache_limit(int(_IDLE_FRACTION * self._size))

    def between_requests(self) -> None:
        """Nothing runs: give back what lies idle, if it is much."""
        if mx.get_cache_memory() > _WORTH_CLEARING:
            mx.clear_cache()

    def before_admission(self) -> None:
        """More is going to run: give back what lies idle, if memory is short."""
        if mx.get_active_memory() + mx.get_cache_memory() > _PRESSURE * self._size:
            mx.clear_cache()


def lock_memory() -> bool:
    """Lock what the process has, and what it will have, into memory (`--mlock`).

    Linux only. On Metal, memory is wired in any case. On a GPU of its own, the weights are not in
    the process's memory, and nothing needs to be locked.

    Returns:
        True where the weights stay in memory; if not, the log says why.
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
