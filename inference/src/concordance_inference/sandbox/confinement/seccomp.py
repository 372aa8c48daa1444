"""Builds and installs the seccomp filter: an allow-list of system calls.

A filter is a program of classic BPF that the kernel runs for each system call, on

    struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence

from concordance_inference.sandbox.confinement.libc import LIBC, checked
from concordance_inference.sandbox.confinement.syscalls import (
    ARCHITECTURES,
    CLONE3,
    MEMORY_CALLS,
    Architecture,
)

#: One instruction: opcode, jumps if true and if false, operand.
Instruction = tuple[int, int, int, int]

#: Opcodes: load a word of the data; jump if equal, if at least, if bits are set; return.
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

#: Offsets in `seccomp_data`. An argument is 64 bits wide; its low word comes first.
_NUMBER, _ARCH, _ARG2_LOW = 0, 4, 16 + 2 * 8

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000

_PROT_EXEC = 4

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class UnsupportedMachineError(OSError):
    """There is no table of system calls for this architecture."""


class _Program(ctypes.Structure):
    """The kernel's `struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def architecture() -> Architecture:
    """Return the architecture of this machine.

    Raises:
        UnsupportedMachineError: There is no table for it.
    """
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedMachineError(
            errno.ENOSYS, f"no seccomp filter for {machine}; there is one for {known}"
        )
    return ARCHITECTURES[machine]


def filter_for(machine: Architecture) -> list[Instruction]:
    """Return the program: allow the listed calls, refuse others with EPERM.

    Calls of another architecture, or by the x32 ABI, kill the process: their numbers mean other
    calls.
    """
    kill = (_RETURN, 0, 0, _KILL_PROCESS)
    program = [(_LOAD, 0, 0, _ARCH), (_JEQ, 1, 0, machine.audit), kill, (_LOAD, 0, 0, _NUMBER)]
    if machine.x32_bit:
        program += [(_JGE, 0, 1, machine.x32_bit), kill]
    for name, number in machine.calls.items():
        program += _memory_call(number) if name in MEMORY_CALLS else _allowed(number)
    enosys, eperm = _ERRNO | errno.ENOSYS, _ERRNO | errno.EPERM
    return [*program, (_JEQ, 0, 1, CLONE3), (_RETURN, 0, 0, enosys), (_RETURN, 0, 0, eperm)]


def _allowed(number: int) -> Iterator[Instruction]:
    yield (_JEQ, 0, 1, number)
    yield (_RETURN, 0, 0, _ALLOW)


def _memory_call(number: int) -> Iterator[Instruction]:
    """Allow a call whose third argument is a protection without `PROT_EXEC`."""
    yield (_JEQ, 0, 4, number)
    yield (_LOAD, 0, 0, _ARG2_LOW)
    yield (_JSET, 0, 1, _PROT_EXEC)
    yield (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    yield (_RETURN, 0, 0, _ALLOW)


def install(program: Sequence[Instruction]) -> None:
    """Install a filter irreversibly for this process and its children. Needs `no_new_privs`.

    Raises:
        OSError: The kernel refuses it.
    """
    packed = b"".join(struct.pack("HBBI", *each) for each in program)
    memory = ctypes.create_string_buffer(packed, len(packed))
    fprog = _Program(len(program), ctypes.addressof(memory))
    arguments = (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(fprog), 0, 0)
    checked(LIBC.prctl(*arguments), "seccomp")
