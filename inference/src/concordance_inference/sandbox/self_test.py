"""Tests the sandbox itself: a worker attacks, and every attack must be stopped.

Without a passed test, no upload runs: a kernel without seccomp, a container that forbids it, or a
table of system calls that is wrong for this machine must not be found by an attacker.
"""

import time
from collections.abc import Callable

from concordance_shared import Added, ConcordanceError

from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.outcomes import Answered, Ask, LeaseFailed, Outcome, Ready
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.waiting import wait_for

#: A mod that tries what it must not be able to do, and reports what it could do.
_PROBE = """
import ctypes, mmap, os, signal, socket, threading
from concordance_sdk import Added, mod

LIBC = ctypes.CDLL(None, use_errno=True)

ATTACKS = {
    "open a file": lambda: open("/etc/passwd"),
    "create a file": lambda: os.open("/tmp/concordance-probe", os.O_CREAT | os.O_WRONLY),
    "see that a file exists": lambda: os.stat("/etc"),
    "read its environment": lambda: open("/proc/self/environ"),
    "list a folder": lambda: os.listdir("/"),
    "open a TCP socket": lambda: socket.socket(),
    "open a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM),
    "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": lambda: os.fork() or os._exit(0),
    "start a thread": lambda: threading.Thread(target=int).start(),
    "execute a program": lambda: os.execv("/bin/true", ["true"]),
    "send a signal": lambda: os.kill(os.getpid(), 0),
    "map executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
    "make memory executable": lambda: native(LIBC.mprotect, page(), 4096, 5),
    "truncate its shared memory": lambda: native(LIBC.ftruncate, 3, 0),
    "trace a process": lambda: native(LIBC.ptrace, 0, 0, 0, 0),
    "change its limits": lambda: native(LIBC.setrlimit, 9, None),
    "allocate 1 GB": lambda: bytearray(1 << 30),
}

def page():
    return ctypes.c_void_p(ctypes.addressof(ctypes.create_string_buffer(1)) & ~4095)

def native(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def succeeds(attack):
    try:
        attack()
    except (OSError, MemoryError, RuntimeError, ValueError):
        return False
    return True

@mod(on=[Added])
def probe(event, actions):
    if event.step == 0:
        return actions.report(
            tried=len(ATTACKS), succeeded=[name for name in ATTACKS if succeeds(ATTACKS[name])]
        )
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""

_SOURCE = ModSource(name="probe", files={"probe.py": _PROBE}, module="probe", entrypoint="probe")

#: Seconds for all attacks together, and for the loop that never ends.
_ATTACKS_S, _SPIN_S = 5.0, 0.1

#: Gives a mod to a worker.
GetLease = Callable[[LeaseRequest], Lease]


def faults_of(get_lease: GetLease) -> list[str]:
    """Return what is wrong with the sandbox; an empty list if nothing is. Takes half a second."""
    try:
        lease = get_lease(LeaseRequest(source=_SOURCE, request_id="self-test"))
    except ConcordanceError as exc:
        return [exc.message]
    try:
        return _faults_of(lease)
    finally:
        lease.kill()


def _faults_of(lease: Lease) -> list[str]:
    outcome = wait_for(lease)
    if not isinstance(outcome, Ready):
        return [f"a worker does not load the test ({_described(outcome)})"]
    outcome = _ask(lease, 0)
    if not isinstance(outcome, Answered) or not outcome.results[0].reports:
        return [f"a worker does not survive the test ({_described(outcome)})"]
    data = outcome.results[0].reports[0].data
    faults = [f"a worker can {name}" for name in data["succeeded"]]
    outcome = _ask(lease, 1, seconds=_SPIN_S)
    if not isinstance(outcome, LeaseFailed) or outcome.error.code != "mod_timeout":
        faults.append(f"a worker that never answers is not stopped ({_described(outcome)})")
    return faults


def _ask(lease: Lease, step: int, *, seconds: float = _ATTACKS_S) -> Outcome:
    event = Added(request_id="self-test", step=step, added_tokens=(1,), forced=False)
    lease.send([Ask(0, event)])
    lease.deadline = time.monotonic() + seconds
    return wait_for(lease)


def _described(outcome: Outcome) -> str:
    return outcome.error.message if isinstance(outcome, LeaseFailed) else type(outcome).__name__
