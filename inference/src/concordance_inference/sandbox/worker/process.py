"""The life of a worker: confinement, then one mod."""

import gc
import os
import random
import sys
from collections.abc import Callable, Mapping
from mmap import mmap
from typing import NoReturn

from msgspec import Struct

from concordance_inference.sandbox.confinement.platform import confine
from concordance_inference.sandbox.confinement.process import Limits
from concordance_inference.sandbox.protocol import events, replies
from concordance_inference.sandbox.protocol.framing import Layout
from concordance_inference.sandbox.worker import imports
from concordance_inference.sandbox.worker.channel import Channel
from concordance_inference.sandbox.worker.host import ModHost
from concordance_inference.sandbox.worker.models import NO_THREADS, WorkerModel
from concordance_inference.sandbox.worker.output import CappedOutput

#: The only descriptor of a worker beside the standard streams.
CHANNEL_FD = 3

#: Exit status of a worker that has failed on its own, not by its mod.
BROKEN = 70


class WorkerSetup(Struct, frozen=True):
    """What the zygote gives to a worker.

    Attributes:
        channel: The descriptor of its channel.
        memory: That of its shared memory.
        layout: The layout of the memory.
        limits: What it may use.
        parent: The process id of the zygote.
    """

    channel: int
    memory: int
    layout: Layout
    limits: Limits
    parent: int


def run_worker(
    setup: WorkerSetup, models: Mapping[str, WorkerModel], output: CappedOutput
) -> NoReturn:
    """Run as a worker until the engine closes the channel or kills the process.

    Args:
        setup: What the zygote gives to it.
        models: The models by id.
        output: What is printed.
    """
    try:
        memory = mmap(setup.memory, setup.layout.size)
        os.dup2(setup.channel, CHANNEL_FD)
        channel = Channel(CHANNEL_FD, memory, setup.layout)
        try:
            layers = confine(CHANNEL_FD, setup.parent, setup.limits)
            _start_clean()
        except Exception as exc:
            channel.send(replies.SentUnready(_unconfined(exc), ""))
            raise
        channel.send(replies.Up(layers))
        _serve(channel, output, setup, models)
    finally:
        os._exit(BROKEN)


def _unconfined(error: Exception) -> replies.SentFailure:
    message = f"a worker cannot be confined: {type(error).__name__}: {error}"
    return replies.SentFailure("sandbox_unavailable", message[:1000], None, None, None, "")


def _serve(
    channel: Channel, output: CappedOutput, setup: WorkerSetup, models: Mapping[str, WorkerModel]
) -> None:
    begin = channel.receive()
    if not isinstance(begin, events.Begin):
        return
    host = ModHost(channel, models[begin.model], output, setup.limits.memory)
    if host.load(begin):
        _handle_events(channel, host.handle)


def _handle_events(channel: Channel, handle: Callable[[events.Handle], None]) -> None:
    while isinstance(message := channel.receive(), events.Handle):
        handle(message)


def _start_clean() -> None:
    """Leave nothing of the zygote that a mod could read, or that two workers share."""
    imports.close()
    os.environ.clear()
    os.putenv(NO_THREADS, "false")  # read by native code; not in `os.environ`
    # Messages with a file's name need it, and its system call has no path but is refused.
    os.getcwd, os.getcwdb = lambda: "/", lambda: b"/"
    sys.argv[:] = ["mod"]
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    gc.enable()
