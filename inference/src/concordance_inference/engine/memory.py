"""The device's memory: how much there is, keeping weights in it, giving back what lies idle."""

import ctypes
import logging
import os
import sys

import mlx.core as mx

logger = logging.getLogger(__name__)

#: mlx may keep freed buffers up to this fraction of the memory that there is.
_IDLE_FRACTION = 1 / 8

#: From this fraction of the memory on, what lies idle is given back.
_PRESSURE = 0.9

#: Less than this is not worth giving back between requests, in bytes.
_WORTH_CLEARING = 64 * 1024 * 1024

_MCL_CURRENT_AND_FUTURE = 3  # of Linux's <sys/mman.h>


def memory_size() -> int:
    """How much memory models can use on this machine, in bytes.

    What Metal recommends for a process; elsewhere the machine's own memory.
    """
    recommended = mx.device_info().get("max_recommended_working_set_size", 0)
    return int(recommended) or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def default_kv_bytes(weight_bytes: int) -> int:
    """What the caches of requests may take if nobody says, in bytes.

    What the weights leave on a device of its own; half of that where the machine has other things
    to do with its memory.

    Args:
        weight_bytes: What the model's weights take.
    """
    left = int(_PRESSURE * memory_size()) - weight_bytes
    return max(left if mx.metal.is_available() else left // 2, 0)


class MemoryPolicy:
    """Gives back buffers that mlx keeps for later: between requests, or when memory is short.

    Never between two tokens: the next one needs the same buffers again.
    """

    def __init__(self) -> None:
        """Bound what mlx keeps."""
        self._size = memory_size()
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
    """Keep what the process has, and what it will have, in memory rather than on disk.

    Returns:
        Whether the system allowed it; if not, the log says why.
    """
    if mx.metal.is_available():
        mx.set_wired_limit(memory_size())
        return True
    if not sys.platform.startswith("linux"):
        logger.warning("--mlock has no effect on this system")
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0:
        return True
    reason = os.strerror(ctypes.get_errno())
    logger.warning("--mlock: memory cannot be locked: %s; raise the limit (ulimit -l)", reason)
    return False
