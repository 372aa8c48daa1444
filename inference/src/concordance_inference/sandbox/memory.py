"""The memory that the engine shares with a worker: sealed, so that its size is fixed."""

import fcntl
import os
import tempfile
from mmap import mmap

from concordance_inference.sandbox.protocol.framing import Layout

_HAS_MEMFD = hasattr(os, "memfd_create")


class SharedMemory:
    """Memory with the layout of `Layout`. What is read is copied before it is looked at."""

    def __init__(self, layout: Layout) -> None:
        """Create the memory.

        Args:
            layout: Its layout.

        Raises:
            OSError: There are too many descriptors, or too little memory.
        """
        self.layout = layout
        self.fd = sealed_file("concordance-worker", layout.size)
        try:
            self._map = mmap(self.fd, layout.size)
        except OSError:
            self.close_fd()
            raise

    def close_fd(self) -> None:
        """Close the descriptor, once it was sent to the zygote."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def close(self) -> None:
        """Release the memory."""
        self.close_fd()
        self._map.close()

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes."""
        self._map[offset : offset + len(data)] = data

    def copy(self, offset: int, length: int) -> bytes:
        """Copy bytes out of the memory."""
        return self._map[offset : offset + length]


def sealed_file(name: str, size: int, data: bytes = b"") -> int:
    """Return a descriptor of memory whose size cannot change.

    Where the system has no seals, it is a file without a name. A worker would need its descriptor
    to change the size, and closes that before it receives a mod.

    Args:
        name: Its name in `/proc`, for debugging.
        size: Its size in bytes.
        data: Its first bytes.
    """
    fd = _memory_file(name) if _HAS_MEMFD else _unnamed_file(name)
    try:
        os.ftruncate(fd, size)
        os.pwrite(fd, data, 0)
        if _HAS_MEMFD:
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(fd)
        raise
    return fd


def _memory_file(name: str) -> int:
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def _unnamed_file(name: str) -> int:
    fd, path = tempfile.mkstemp(prefix=name)
    os.unlink(path)  # noqa: PTH108  # a path from `tempfile`
    return fd
