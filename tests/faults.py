"""Fault injection: the n-th operation of a kind fails, for each n until none fails."""

import contextlib
import errno
import mmap
import os
import socket
import subprocess
import threading
from pathlib import Path
from unittest import mock

import psutil
from concordance_inference.sandbox import memory

#: Where operations are looked up, by the name of their kind, and how they fail.
KINDS = {
    "memfd": (os, "memfd_create", errno.EMFILE),
    "truncate": (os, "ftruncate", errno.ENOSPC),
    "map": (memory, "mmap", errno.ENOMEM),
    "socketpair": (socket, "socketpair", errno.EMFILE),
    "send descriptors": (socket, "send_fds", errno.ETOOMANYREFS),
    "receive descriptors": (socket, "recv_fds", errno.ENOBUFS),
    "send": (socket.socket, "send", errno.ENOBUFS),
    "send all": (socket.socket, "sendall", errno.ENOBUFS),
    "receive": (socket.socket, "recv", errno.ENOBUFS),
    "start a process": (subprocess, "Popen", errno.EAGAIN),
    "open": (os, "open", errno.EMFILE),
    "write": (os, "write", errno.ENOSPC),
    "sync": (os, "fsync", errno.EIO),
    "rename": (os, "replace", errno.EIO),
    "rename a path": (Path, "replace", errno.EIO),
    "link": (os, "link", errno.EPERM),
    "make a folder": (Path, "mkdir", errno.EROFS),
    "write bytes": (Path, "write_bytes", errno.ENOSPC),
    "read": (Path, "read_bytes", errno.EIO),
}

assert memory.mmap is mmap.mmap


class Fault:
    """Fails the n-th operation of a kind, once, on whichever thread it is."""

    def __init__(self, kind, number, only=lambda: True):
        """Count from 1; operations for which `only` is false are not counted."""
        self.kind, self.number, self.only = kind, number, only
        self.seen, self._lock = 0, threading.Lock()

    @property
    def has_failed(self):
        """True once the operation has failed."""
        return self.seen >= self.number

    @contextlib.contextmanager
    def injected(self):
        """Inject the fault while the context is open."""
        owner, name, code = KINDS[self.kind]
        real = getattr(owner, name)

        def operation(*args, **kwargs):
            with self._lock:
                self.seen += self.only()
                fails = self.only() and self.seen == self.number
            if fails and self.kind == "write bytes":
                real(args[0], args[1][: len(args[1]) // 2])  # as a disk that becomes full does
            if fails:
                raise OSError(code, f"injected: {os.strerror(code)}")
            return real(*args, **kwargs)

        with mock.patch.object(owner, name, operation):
            yield self


def each_fault(kind, *, at_most=200, only=lambda: True):
    """Yield the faults of a kind, the first operation first, until one has not failed."""
    for number in range(1, at_most):
        yield (fault := Fault(kind, number, only))
        if not fault.has_failed:
            return
    raise AssertionError(f"operation {kind!r} still fails after {at_most} runs")


class Footprint:
    """Descriptors, threads and descendants of this process."""

    def __init__(self):
        """Measure them."""
        self.fds = sorted(map(_target, Path("/proc/self/fd").iterdir()))
        self.threads = sorted(each.name for each in threading.enumerate())
        self.children = len(psutil.Process().children(recursive=True))

    def __eq__(self, other):
        return vars(self) == vars(other)

    __hash__ = None

    def __repr__(self):
        return f"{vars(self)}"


def _target(descriptor):
    """Return what a descriptor refers to, without its number; the folder's own has ended."""
    try:
        return f"{descriptor.readlink()}".split(":")[0]
    except OSError:
        return ""
