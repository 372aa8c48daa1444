"""Frames from and to a worker, without blocking. What arrives is hostile."""

import socket
from typing import Any

from concordance_inference.sandbox.memory import SharedMemory
from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.framing import (
    HEADER,
    IN_MEMORY,
    MAX_INLINE,
    MAX_REPLY,
)

_CHUNK = MAX_REPLY + HEADER.size


class ViolationError(Exception):
    """The worker sent what no worker sends; the message says what."""


class EndOfStreamError(Exception):
    """The worker's end of the channel is closed."""


class FrameStream:
    """The engine's end of a channel."""

    def __init__(self, channel: socket.socket, memory: SharedMemory) -> None:
        """Use a socket that does not block, and the memory of the same worker."""
        self._channel = channel
        self._memory = memory
        self._data = b""

    def send(self, message: events.Message) -> None:
        """Send a message, in the shared memory if it is long.

        Raises:
            ViolationError: The worker has not read what was sent before.
            EndOfStreamError: It has closed the channel.
            ValueError: The message is too long.
        """
        body = events.ENCODER.encode(message)
        if len(body) <= MAX_INLINE:
            data = HEADER.pack(len(body)) + body
        elif len(body) <= self._memory.layout.to_worker:
            self._memory.write(self._memory.layout.in_body, body)
            data = HEADER.pack(len(body) | IN_MEMORY)
        else:
            raise ValueError(
                f"{len(body)} bytes; a mod gets at most {self._memory.layout.to_worker} at once"
            )
        try:
            num_sent = self._channel.send(data)
        except BlockingIOError:
            num_sent = 0
        except OSError as exc:
            raise EndOfStreamError from exc
        if num_sent < len(data):
            raise ViolationError("does not read what it is sent")

    def write_row(self, row: Any) -> None:
        """Write a row of logits for the worker, before the message that it belongs to.

        Args:
            row: A buffer of float32.
        """
        self._memory.write(0, memoryview(row).cast("B").tobytes())

    def receive(self) -> replies.FromWorker | None:
        """Return the next message; `None` if none is complete.

        Raises:
            ViolationError: The data is no message.
            EndOfStreamError: The worker has closed the channel.
        """
        body = self._next_body()
        if body is None:
            self._read()
            body = self._next_body()
        return None if body is None else _decoded(body)

    def check_empty(self) -> None:
        """Check that nothing follows the last message.

        Raises:
            ViolationError: Something does.
        """
        if self._data:
            raise ViolationError("sent more than one reply")

    def _read(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as exc:
            raise EndOfStreamError from exc
        if not data:
            raise EndOfStreamError
        self._data += data

    def _next_body(self) -> bytes | None:
        if len(self._data) < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self._data)
        if length & IN_MEMORY:
            end, body = HEADER.size, self._in_memory(length & ~IN_MEMORY)
        elif length > MAX_REPLY:
            raise ViolationError(f"announced a reply of {length} bytes")
        else:
            end = HEADER.size + length
            body = self._data[HEADER.size : end]
        if len(self._data) < end:
            return None
        self._data = self._data[end:]
        return body

    def _in_memory(self, length: int) -> bytes:
        layout = self._memory.layout
        if length > layout.to_engine:
            raise ViolationError(f"announced a reply of {length} bytes in its memory")
        return self._memory.copy(layout.out_body, length)


def _decoded(body: bytes) -> replies.FromWorker:
    try:
        return replies.DECODER.decode(body)
    except Exception as exc:  # `RecursionError`, `UnicodeDecodeError` and others besides its own
        raise ViolationError(f"sent a reply that cannot be read ({type(exc).__name__})") from None
