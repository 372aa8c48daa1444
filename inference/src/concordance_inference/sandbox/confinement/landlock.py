"""Restricts files, network and signals by Landlock, with a ruleset that has no rules.

What a version of the kernel does not know yet is left out: a second layer beside seccomp.
"""

import ctypes
import os

from concordance_inference.sandbox.confinement.libc import LIBC, checked

#: The same numbers on every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446

_VERSION_FLAG = 1

#: ABI version -> number of rights over files that it knows; they are the lowest bits.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}

#: Bind and connect by TCP, since ABI 4.
_NETWORK_SINCE, _NETWORK = 4, 0b11

#: Abstract Unix sockets and signals outside of the domain, since ABI 6.
_SCOPES_SINCE, _SCOPES = 6, 0b11


class _Attributes(ctypes.Structure):
    """The kernel's `struct landlock_ruleset_attr`."""

    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def abi_version() -> int:
    """Return the version of Landlock in this kernel; 0 if there is none."""
    version = LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(int(version), 0)


def restrict() -> int:
    """Restrict this process irreversibly; return the ABI version, 0 if there is no Landlock.

    Needs `no_new_privs`.

    Raises:
        OSError: The kernel has Landlock and refuses.
    """
    version = abi_version()
    if not version:
        return 0
    rights = max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)
    attributes = _Attributes(
        (1 << rights) - 1,
        _NETWORK if version >= _NETWORK_SINCE else 0,
        _SCOPES if version >= _SCOPES_SINCE else 0,
    )
    size = 24 if version >= _SCOPES_SINCE else 16 if version >= _NETWORK_SINCE else 8
    ruleset = checked(
        LIBC.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), 0),
        "landlock_create_ruleset",
    )
    try:
        checked(LIBC.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)
    return version
