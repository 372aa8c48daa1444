"""The memory that the engine shares with a worker: sealed, so that its size is fixed."""

import fcntl
import os
from mmap import mmap

from concordance_inference.sandbox.protocol.framing import Layout

#: Seals: no other size, and no other seals.
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class SharedMemory:
    """Memory with the layout of `Layout`. What is read is copied before it is looked at."""

    def __init__(self, layout: Layout) -> None:
        """Create the memory.

        Args:
            layout: Its layout.
        """
        self.layout = layout
        self.fd = sealed_file("concordance-worker", layout.size)
        self._map = mmap(self.fd, layout.size)

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

    Args:
        name: Its name in `/proc`, for debugging.
        size: Its size in bytes.
        data: Its first bytes.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        if data:
            with os.fdopen(os.dup(fd), "wb") as file:
                file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd
