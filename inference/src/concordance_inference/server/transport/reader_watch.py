"""Aborts the connection of a client that does not read its response."""

import asyncio
import logging
import socket
import struct

logger = logging.getLogger(__name__)


class ReaderWatch:
    """Looks at what a client has not read yet. Belongs to the event loop of the connection."""

    def __init__(self, transport: asyncio.Transport, *, limit_s: float) -> None:
        """Watch a connection, once `begin` is called.

        Args:
            transport: The connection.
            limit_s: Seconds in which the client has to read something.
        """
        self._transport = transport
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Allow `limit_s` from now, if there is anything to read."""
        self.stop()
        if size := self._transport.get_write_buffer_size():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limit_s, self._check, size)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, size: int) -> None:
        """Abort the connection unless the client has read a part of `size` bytes."""
        self._timer = None
        if self._transport.get_write_buffer_size() >= size:
            logger.info("a client has read nothing for %g s; its request ends", self._limit_s)
            _drop_unsent(self._transport)
            self._transport.abort()
        else:
            self.begin()


def _drop_unsent(transport: asyncio.Transport) -> None:
    """Have the system drop what it has not sent when the connection is closed."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        no_time = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)
