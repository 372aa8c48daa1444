"""A worker's channel to the engine: blocking, one frame at a time."""

import os
from mmap import mmap

from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.framing import HEADER, IN_MEMORY, MAX_REPLY, Layout

_CHUNK = 64 * 1024


class ReplyTooLongError(Exception):
    """A reply exceeds what the engine accepts."""


class Channel:
    """Frames from and to the engine, and the memory shared with it."""

    def __init__(self, fd: int, memory: mmap, layout: Layout) -> None:
        """Use a descriptor and a memory.

        Args:
            fd: The descriptor.
            memory: The memory.
            layout: Its layout.
        """
        self._fd = fd
        self.memory = memory
        self.layout = layout
        self._data = b""

    def receive(self) -> events.Message:
        """Wait for the next message; the process ends with the engine's end of the channel."""
        (length,) = HEADER.unpack(self._take(HEADER.size))
        if length & IN_MEMORY:
            begin = self.layout.in_body
            body = self.memory[begin : begin + (length & ~IN_MEMORY)]
        else:
            body = self._take(length)
        return events.DECODER.decode(body)

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            data = os.read(self._fd, _CHUNK)
            if not data:
                os._exit(0)  # the engine has ended, or no longer needs the worker
            self._data += data
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def send(self, reply: replies.FromWorker) -> None:
        """Send a reply.

        Raises:
            ReplyTooLongError: It is too long.
        """
        body = replies.ENCODER.encode(reply)
        if len(body) <= MAX_REPLY:
            self._write(HEADER.pack(len(body)) + body)
            return
        if len(body) > self.layout.to_engine:
            raise ReplyTooLongError(
                f"it is {len(body)} bytes long; the limit is {self.layout.to_engine}"
            )
        begin = self.layout.out_body
        self.memory[begin : begin + len(body)] = body
        self._write(HEADER.pack(len(body) | IN_MEMORY))

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def write_row(self, index: int, row: bytes) -> None:
        """Write a row for the engine: 0 for logits, 1 for biases.

        Raises:
            ReplyTooLongError: It is longer than a row of the model's logits.
        """
        if len(row) > self.layout.row_bytes:
            raise ReplyTooLongError(
                f"its row has {len(row) // 4} numbers; one of the model's has {self.layout.width}"
            )
        begin = self.layout.out_row(index)
        self.memory[begin : begin + len(row)] = row
