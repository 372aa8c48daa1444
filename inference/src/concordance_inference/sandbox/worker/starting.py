"""Two ways to start a worker: fork the zygote, or execute the interpreter again.

Forking takes milliseconds and shares memory. On macOS, CPython's documentation calls it unsafe,
since the system's libraries start threads: there, each worker is a program of its own, and the warm
pool hides the time that it takes to start.
"""

import base64
import fcntl
import os
import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from concordance_inference.sandbox.confinement.process import Limits
from concordance_inference.sandbox.protocol.control import AddModel
from concordance_inference.sandbox.protocol.framing import Layout

_MODULE = "concordance_inference.sandbox.worker.spawned"

#: The descriptors of a spawned worker: its channel, its memory, then the tokenizers.
CHANNEL, MEMORY, FIRST_TOKENIZER = 3, 4, 5

#: Descriptors are moved above this number, so that none is overwritten by another.
_ABOVE = 200


class SpawnSetup(Struct, frozen=True, array_like=True):
    """What a spawned worker reads from its command line."""

    layout: Layout
    limits: Limits
    parent: int
    models: tuple[AddModel, ...]

    def encoded(self) -> str:
        """Return it as an argument of a command."""
        return base64.b64encode(msgspec.msgpack.encode(self)).decode()

    @classmethod
    def decoded(cls, argument: str) -> "SpawnSetup":
        """Return what an argument of a command holds."""
        return msgspec.msgpack.decode(base64.b64decode(argument), type=cls)


def spawn(setup: SpawnSetup, fds: Sequence[int]) -> int:
    """Execute a worker, and return its process id.

    Args:
        setup: What it reads from its command line.
        fds: Its channel, its memory, and the state of each tokenizer.

    Raises:
        OSError: It cannot be executed.
    """
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for fd in fds]
    actions = [(os.POSIX_SPAWN_DUP2, fd, CHANNEL + i) for i, fd in enumerate(moved)]
    command = [sys.executable, "-I", "-m", _MODULE, setup.encoded()]
    try:
        return os.posix_spawn(sys.executable, command, {}, file_actions=actions)
    finally:
        for fd in moved:
            os.close(fd)
