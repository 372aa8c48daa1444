"""Drops what needs no filter: descriptors, priority, user, memory, core dumps.

Files are read by descriptors: `pathlib` would write to pages that workers share.
"""

import ctypes
import os
import resource
import signal

from msgspec import Struct

from concordance_inference.sandbox.confinement.libc import LIBC, checked

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 1, 4, 38, 24

_CAPABILITY_VERSION = 0x20080522  # two words of 32 bits

#: The user that a server of root runs its workers as.
_NOBODY = 65534

#: The kernel ends processes with a higher value first when memory runs out; at most 1000.
_OOM_SCORE = b"900"


class Limits(Struct, frozen=True):
    """What a worker may use.

    Attributes:
        memory: Bytes that it may allocate beyond what it starts with.
        cpu_s: Seconds of CPU time.
        nice: By how much its priority is lower than the engine's.
    """

    memory: int = 256 << 20
    cpu_s: int = 60
    nice: int = 5


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; exit if it has ended already.

    Args:
        parent: Its process id.
    """
    checked(LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(1)


def close_all_but(kept: int) -> None:
    """Connect the standard streams to nothing, and close all other descriptors.

    Args:
        kept: The descriptor to keep, above 2.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 20)


def lower_priority(limits: Limits) -> None:
    """Raise the score of the OOM killer, and yield the processor to the engine."""
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(fd, _OOM_SCORE)
    os.close(fd)
    os.nice(limits.nice)


def set_limits(limits: Limits) -> None:
    """Limit memory, CPU time, files, processes and core dumps."""
    memory = _address_space() + limits.memory
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 8),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    # At the soft limit SIGXCPU, which says why; at the hard one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))


def _address_space() -> int:
    fd = os.open("/proc/self/statm", os.O_RDONLY)
    pages = int(os.read(fd, 100).partition(b" ")[0])
    os.close(fd)
    return pages * resource.getpagesize()


def drop_privileges() -> None:
    """Stop being root, if the process is; without a user to become, drop the capabilities."""
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        except OSError:  # a user namespace without such a user
            _drop_capabilities()


def _drop_capabilities() -> None:
    for capability in range(64):
        LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for those that do not exist
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    checked(LIBC.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def forbid_new_privileges() -> None:
    """Let no `execve` give rights, which the filters need, and hide the memory from others."""
    checked(LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "PR_SET_NO_NEW_PRIVS")
    checked(LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE")
