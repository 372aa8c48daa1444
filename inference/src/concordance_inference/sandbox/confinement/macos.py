"""Confines a worker on macOS by Seatbelt. Written from its documentation; not run by our tests.

macOS has no filter of system calls and no limit on memory: `RLIMIT_AS` fails or has no effect. The
profile denies everything, after all modules are loaded and all descriptors are open; the zygote
measures the memory of its workers and kills those that take too much. The self-test decides, as
everywhere: if the profile does not stop an attack, uploads are refused.
"""

import ctypes
import os
import resource

from concordance_inference.sandbox.confinement.libc import LIBC, checked
from concordance_inference.sandbox.confinement.process import Limits, close_all_but

#: Nothing but reading system parameters and signals to the process itself. Never to be allowed:
#: `mach-lookup`, `iokit-open`, `ipc-posix-shm*`, `file-read*`.
PROFILE = """
(version 1)
(deny default)
(allow sysctl-read)
(allow signal (target self))
"""

_RUSAGE_INFO_V2 = 2

#: `struct rusage_info_v2`: 16 bytes of UUID, then counters; the eighth is `ri_phys_footprint`.
_UUID_BYTES, _NUM_COUNTERS, _FOOTPRINT = 16, 18, 7


class _RusageInfo(ctypes.Structure):
    """The first fields of the kernel's `struct rusage_info_v2`."""

    _fields_ = (
        ("uuid", ctypes.c_uint8 * _UUID_BYTES),
        ("counters", ctypes.c_uint64 * _NUM_COUNTERS),
    )


def confine(channel: int, parent: int, limits: Limits) -> dict[str, str]:
    """Confine this process irreversibly; the arguments are those of `platform.confine`.

    Raises:
        OSError: A layer cannot be put in place.
    """
    if os.getppid() != parent:
        os._exit(1)
    close_all_but(channel)
    os.nice(limits.nice)
    for kind, limit in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 8),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
    _init_sandbox()
    return {"seatbelt": "deny default"}


def _init_sandbox() -> None:
    """Apply the profile to this process.

    Raises:
        OSError: It is refused.
    """
    message = ctypes.c_char_p()
    result = LIBC.sandbox_init(PROFILE.encode(), ctypes.c_uint64(0), ctypes.byref(message))
    if result != 0:
        raise OSError(f"sandbox_init: {(message.value or b'').decode('utf-8', 'replace')}")


def footprint(pid: int) -> int:
    """Return the memory of a process in bytes, as the system counts it against the process.

    Raises:
        OSError: The process does not exist.
    """
    info = _RusageInfo()
    found = LIBC.proc_pid_rusage(pid, _RUSAGE_INFO_V2, ctypes.byref(info))
    checked(found, "proc_pid_rusage")
    return int(info.counters[_FOOTPRINT])
