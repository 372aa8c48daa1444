"""Frames of messages on a stream, and the memory that engine and worker share.

A frame is a length in 4 bytes, and a body of this length. With the highest bit set, the body is in
the shared memory, which has room for what a socket does not take without blocking:

    | row to the worker | two rows from it | bodies to the worker | bodies from it |
"""

import struct

from msgspec import Struct

#: The longest body on the stream itself.
MAX_INLINE = 32 * 1024

#: The longest reply of a worker on the stream.
MAX_REPLY = 64 * 1024

HEADER = struct.Struct("<I")

#: Set in a length if the body is in the shared memory.
IN_MEMORY = 1 << 31

#: Bytes of a row of logits per token: float32.
_FLOAT = 4


class Layout(Struct, frozen=True):
    """The layout of the shared memory. Pages that were never written take no room.

    Attributes:
        width: Numbers in a row of logits.
        to_worker: Longest body to the worker, in bytes.
        to_engine: Longest body from the worker.
    """

    width: int = 0
    to_worker: int = 32 << 20
    to_engine: int = 1 << 20

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return self.width * _FLOAT

    @property
    def in_body(self) -> int:
        """The offset of a body to the worker."""
        return 3 * self.row_bytes

    @property
    def out_body(self) -> int:
        """The offset of a body from the worker."""
        return self.in_body + self.to_worker

    @property
    def size(self) -> int:
        """The size of the whole."""
        return self.out_body + self.to_engine

    def out_row(self, index: int) -> int:
        """The offset of a row from the worker: 0 for its logits, 1 for its biases."""
        return (1 + index) * self.row_bytes
