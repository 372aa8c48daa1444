"""The system calls that a confined worker may make, by architecture.

What is missing on purpose: every call with a path, `sendmsg` (it passes descriptors), `clone`,
`kill`, `tgkill`, `ioctl`, `prctl`, `ftruncate`, `socket`, `execve`.
"""

from msgspec import Struct

#: A system call that returns ENOSYS: libc then falls back to `clone`, which is refused.
CLONE3 = 435

#: `mmap` and `mprotect` are allowed without `PROT_EXEC`.
MEMORY_CALLS = ("mmap", "mprotect")


class Architecture(Struct, frozen=True):
    """An architecture's audit number, and the numbers of its system calls.

    Attributes:
        audit: The value of `seccomp_data.arch`.
        calls: Name -> number of the allowed calls, the most frequent first.
        x32_bit: Set in the numbers of another ABI of the same architecture; 0 if there is none.
    """

    audit: int
    calls: dict[str, int]
    x32_bit: int = 0


_X86_64 = {
    "read": 0,
    "write": 1,
    "recvfrom": 45,
    "sendto": 44,
    "mmap": 9,
    "munmap": 11,
    "mprotect": 10,
    "brk": 12,
    "madvise": 28,
    "mremap": 25,
    "futex": 202,
    "clock_gettime": 228,
    "close": 3,
    "fstat": 5,
    "poll": 7,
    "ppoll": 271,
    "lseek": 8,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "sigaltstack": 131,
    "sched_yield": 24,
    "sched_getaffinity": 204,
    "nanosleep": 35,
    "clock_nanosleep": 230,
    "gettimeofday": 96,
    "getpid": 39,
    "gettid": 186,
    "getrusage": 98,
    "getrandom": 318,
    "restart_syscall": 219,
    "rseq": 334,
    "exit": 60,
    "exit_group": 231,
}

_AARCH64 = {
    "read": 63,
    "write": 64,
    "recvfrom": 207,
    "sendto": 206,
    "mmap": 222,
    "munmap": 215,
    "mprotect": 226,
    "brk": 214,
    "madvise": 233,
    "mremap": 216,
    "futex": 98,
    "clock_gettime": 113,
    "close": 57,
    "fstat": 80,
    "ppoll": 73,
    "lseek": 62,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "sigaltstack": 132,
    "sched_yield": 124,
    "sched_getaffinity": 123,
    "nanosleep": 101,
    "clock_nanosleep": 115,
    "gettimeofday": 169,
    "getpid": 172,
    "gettid": 178,
    "getrusage": 165,
    "getrandom": 278,
    "restart_syscall": 128,
    "rseq": 293,
    "exit": 93,
    "exit_group": 94,
}

#: The value of `os.uname().machine` -> the architecture.
ARCHITECTURES = {
    "x86_64": Architecture(audit=0xC000003E, calls=_X86_64, x32_bit=0x40000000),
    "aarch64": Architecture(audit=0xC00000B7, calls=_AARCH64),
}
