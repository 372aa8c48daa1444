"""Hostile mods, group by group: each is contained, and its error says what it did.

A mod reports what it can do: `attempt(function)` returns the name of the exception, or `None` if
the attack succeeded. Native system calls are those of x86-64.
"""

import os
import time

import pytest
from concordance_inference.sandbox.outcomes import Answered, LeaseFailed
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.waiting import wait_for
from sandboxes import added, leased, outcome_of, source_of

IMPORTS = """
import ctypes, decimal, json, math, os, random, re, signal, sys, time
from concordance_sdk import *
LIBC = ctypes.CDLL(None, use_errno=True)

def attempt(function):
    try:
        result = function()
    except BaseException as exc:
        return type(exc).__name__
    if isinstance(result, int) and result < 0:
        return f"errno {ctypes.get_errno()}"
    return None
"""


def hostile(body, *, top=""):
    """A mod that runs statements at `Added`."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return source_of(
        f"{IMPORTS}\n{top}\n@mod(on=[Added])\ndef tested(event, actions, tokenizer):\n{lines}"
    )


def failure_of(sandbox, source):
    outcome = outcome_of(sandbox, source)
    assert isinstance(outcome, LeaseFailed), outcome
    return outcome.error


# A. Termination and CPU

ENDLESS = {
    "loop": "while True: pass",
    "loop that swallows every exception": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "regex": "re.match(r'(a+)+$', 'a' * 40 + 'b')",
    "power": "7 ** 10 ** 9",
    "sort": "sorted(range(10 ** 7), key=lambda i: -i)",
    "sleep": "time.sleep(1e6)",
    "ignored signals": (
        "for each in (1, 2, 15): signal.signal(each, signal.SIG_IGN)\nwhile True: pass"
    ),
    "generator as tokens": "return actions.force_tokens(iter(int, 1))",
    "swallowed memory error": (
        "kept = []\nwhile True:\n    try: kept.append(bytearray(1 << 24))\n"
        "    except MemoryError: pass"
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_handler_is_killed_at_its_deadline(quick_sandbox, name):
    error = failure_of(quick_sandbox, hostile(ENDLESS[name]))
    assert (error.code, error.event, error.step) == ("mod_timeout", "Added", 0)
    assert "did not answer Added within 250 ms" in error.message


def test_mod_that_never_finishes_loading_is_killed(sandbox):
    lease = sandbox.lease(LeaseRequest(source=source_of(f"{IMPORTS}\nwhile True: pass")))
    while not lease.layers:  # the time limit begins when the worker is up
        assert lease.poll() is None
        time.sleep(0.001)
    lease.deadline = time.monotonic() + 0.1
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.error.code == "mod_load_failed"
    assert "was not loaded within" in outcome.error.message


def test_cpu_time_of_a_worker_is_limited(quick_sandbox):
    lease, _ = leased(quick_sandbox, hostile("while True: pass"))
    lease.send([added(0, b"a")])
    lease.deadline += 60
    outcome = wait_for(lease)
    lease.kill()
    assert outcome.error.code == "mod_died"
    assert "SIGXCPU (it used up its CPU time)" in outcome.error.message


# B. Crash and exit

ENDINGS = {
    "os._exit(0)": ("mod_died", "exited with status 0"),
    "os._exit(3)": ("mod_died", "exited with status 3"),
    "sys.exit(1)": ("mod_raised", "SystemExit"),
    "raise KeyboardInterrupt": ("mod_raised", "KeyboardInterrupt"),
    "raise GeneratorExit": ("mod_raised", "GeneratorExit"),
    "raise type('Quit', (SystemExit,), {})": ("mod_raised", "Quit"),
    "ctypes.string_at(0)": ("mod_died", "SIGSEGV"),
    "os.abort()": ("mod_died", "SIG"),
    "f = lambda: f()\nf()": ("mod_raised", "RecursionError"),
    "raise type('Bad', (Exception,), {'__str__': lambda self: 1 / 0})": ("mod_raised", "Bad"),
    "raise ValueError('x' * 10 ** 6)": ("mod_raised", "ValueError"),
}


@pytest.mark.parametrize("body", ENDINGS)
def test_mod_that_ends_or_crashes_fails_only_itself(sandbox, body):
    error = failure_of(sandbox, hostile(body))
    code, text = ENDINGS[body]
    assert error.code.startswith(code)
    assert text in error.message
    assert len(error.message) < 20_000


def test_endless_recursion_without_a_limit_ends_the_worker(quick_sandbox):
    body = "sys.setrecursionlimit(10 ** 9)\nf = lambda: [f() for _ in [0]]\nf()"
    codes = ("mod_died", "mod_memory", "mod_raised", "mod_timeout")
    assert failure_of(quick_sandbox, hostile(body)).code in codes


def test_exceptions_that_are_never_raised_to_the_host_have_no_effect(sandbox):
    source = hostile(
        "Bad()\ng = loop(); next(g); del g\nreturn actions.noop()",
        top="""
import atexit
atexit.register(lambda: 1 / 0)
class Bad:
    def __del__(self): raise SystemExit
def loop():
    try: yield
    finally: raise SystemExit
""",
    )
    assert isinstance(outcome_of(sandbox, source), Answered)


# C. Memory and size


@pytest.mark.parametrize("body", ["bytearray(8 << 30)", "[0] * (1 << 29)", "b'x' * (1 << 29)"])
def test_mod_that_allocates_too_much_runs_out_of_memory(sandbox, body):
    error = failure_of(sandbox, hostile(body))
    assert (error.code, error.event) == ("mod_memory", "Added")
    assert "256 MB" in error.message


def test_growing_list_runs_out_of_memory(sandbox):
    body = "kept = []\nwhile True: kept.append(bytearray(1 << 25))"
    assert failure_of(sandbox, hostile(body)).code in ("mod_memory", "mod_timeout")


def test_memory_error_while_loading_is_a_load_error(sandbox):
    error = failure_of(sandbox, source_of(f"{IMPORTS}\nx = bytearray(8 << 30)"))
    assert (error.code, "MemoryError" in error.message) == ("mod_load_failed", True)


def test_printed_text_is_capped_and_the_mod_continues(sandbox):
    lease, _ = leased(sandbox, hostile("for _ in range(100): print('x' * 1000000)"))
    lease.send([added(0, b"a")])
    assert isinstance(wait_for(lease), Answered)
    lease.kill()
    (text,) = lease.take_logs()
    assert len(text) < 16_384
    assert "the rest is dropped" in text


SOURCES = {
    "parentheses": "(" * (256 * 1024),
    "nested blocks": "".join(f"{' ' * i}if 1:\n" for i in range(300)) + " " * 300 + "x",
    "a long line": "x = '" + "y" * 200_000 + "'\n",
    "a zero byte": "x = '\0'",
    "an unpaired surrogate": "x = '\\ud800'\nprint(x)\n1/0",
    "many decorators": "@f\n" * 5000,
    "deep expression": "x = " + "-" * 100_000 + "1",
}


@pytest.mark.parametrize("name", SOURCES)
def test_source_that_cannot_be_compiled_is_a_load_error(sandbox, name):
    error = failure_of(sandbox, source_of(SOURCES[name]))
    assert error.code in ("mod_load_failed", "invalid_value"), error
    assert len(error.message) < 10_000


# D. Files, processes, network

ATTACKS = {
    "read a file": "open('/etc/passwd').read()",
    "read the environment": "open('/proc/self/environ').read()",
    "read a parent's memory": "open(f'/proc/{PARENT}/mem')",
    "write a file": "open('/tmp/written', 'w')",
    "unlink": "os.unlink('/etc/passwd')",
    "rename": "os.rename('/etc/passwd', '/etc/passwd2')",
    "chmod": "os.chmod('/etc/passwd', 0)",
    "symlink": "os.symlink('/etc/passwd', '/tmp/link')",
    "listdir": "os.listdir('/')",
    "stat": "os.stat('/etc/passwd')",
    "readlink": "os.readlink('/proc/self/exe')",
    "chdir": "os.chdir('/tmp')",
    "getcwd": "LIBC.getcwd(ctypes.create_string_buffer(99), 99) or 1 / 0",
    "mkdir": "os.mkdir('/tmp/made')",
    "pipe": "os.pipe()",
    "dup": "os.dup(3)",
    "memfd": "os.memfd_create('x')",
    "TCP": "socket.socket().connect(('127.0.0.1', 1))",
    "UDP": "socket.socket(type=socket.SOCK_DGRAM)",
    "Unix": "socket.socket(socket.AF_UNIX)",
    "raw": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "socketpair": "socket.socketpair()",
    "DNS": "socket.getaddrinfo('localhost', 80)",
    "fork": "os.fork()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "os.execv('/bin/true', ['true'])",
    "system": "LIBC.execve(b'/bin/true', None, None)",
    "native fork": "LIBC.syscall(57)",
    "native vfork": "LIBC.syscall(58)",
    "native clone": "LIBC.syscall(56, 17, 0, 0, 0, 0)",
    "native clone3": "LIBC.syscall(435, 0, 0)",
    "thread": "threading.Thread(target=print).start()",
    "kill the parent": "os.kill(PARENT, 9)",
    "kill all": "os.kill(-1, 9)",
    "signal itself": "os.kill(os.getpid(), 9)",
    "ptrace": "LIBC.ptrace(16, PARENT, 0, 0)",
    "process_vm_readv": "LIBC.syscall(310, PARENT, 0, 0, 0, 0, 0)",
    "executable memory": "mmap.mmap(-1, 4096, prot=7)",
    "native executable memory": "LIBC.syscall(9, 0, 4096, 7, 34, -1, 0)",
    "mprotect to executable": "LIBC.mprotect(PAGE, 4096, 5)",
    "truncate the shared memory": "LIBC.ftruncate(4, 0)",
    "pass a descriptor": "LIBC.syscall(46, 3, 0, 0)",
    "open by handle": "LIBC.syscall(304, -1, 0, 0)",
    "openat2": "LIBC.syscall(437, -100, b'/etc/passwd', 0, 24)",
    "io_uring": "LIBC.syscall(425, 8, 0)",
    "bpf": "LIBC.syscall(321, 0, 0, 0)",
    "prctl": "LIBC.prctl(38, 0, 0, 0, 0)",
    "setuid": "os.setuid(0)",
    "raise the limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "ioctl": "LIBC.ioctl(0, 0x5401, 0)",
    "nice": "os.nice(-10)",
    "uname": "os.uname()",
    "hostname": "socket.gethostname()",
    "timer": "signal.setitimer(signal.ITIMER_REAL, 1)",
    "import of a module that is not loaded": "__import__('sqlite3')",
    "subprocess": "__import__('subprocess').run(['/bin/true'])",
}


def test_every_attack_on_files_processes_and_network_is_refused(sandbox):
    tries = "".join(f"    {name!r}: attempt(lambda: {code}),\n" for name, code in ATTACKS.items())
    top = (
        "import socket, threading, mmap, resource\n"
        "PARENT = 1\n"
        "PAGE = ctypes.c_void_p(ctypes.addressof(ctypes.create_string_buffer(1)) & ~4095)\n"
    )
    source = hostile(
        f"return actions.report(results={{\n{tries}}})".replace("\n    ", "\n        "), top=top
    )
    outcome = outcome_of(sandbox, source)
    assert isinstance(outcome, Answered), outcome
    results = outcome.results[0].reports[0].data["results"]
    assert set(results) == set(ATTACKS)
    assert {name for name, result in results.items() if result is None} == set()


def test_an_import_that_is_refused_lists_what_can_be_imported(sandbox):
    error = failure_of(sandbox, source_of("import sqlite3"))
    assert error.code == "mod_load_failed"
    assert "No module named 'sqlite3'" in error.message
    assert "json" in error.message


def test_worker_sees_no_environment_no_path_and_no_descriptor(sandbox):
    body = """
import errno
buffer = ctypes.create_string_buffer(256)
fstat = {'x86_64': 5, 'aarch64': 80}[MACHINE]
def is_open(fd):
    return LIBC.syscall(fstat, fd, buffer) == 0
fds = [fd for fd in range(256) if is_open(fd)]
return actions.report(env=dict(os.environ), argv=sys.argv, path=sys.path, fds=fds)
"""
    outcome = outcome_of(sandbox, hostile(body, top=f"MACHINE = {os.uname().machine!r}"))
    data = outcome.results[0].reports[0].data
    assert data == {"env": {}, "argv": ["mod"], "path": [], "fds": [0, 1, 2, 3]}


def test_workers_do_not_share_random_numbers(sandbox):
    body = "return actions.report(r=random.random(), n=float(numpy.random.rand()))"
    seen = [
        outcome_of(sandbox, hostile(body, top="import numpy")).results[0].reports[0].data
        for _ in range(2)
    ]
    assert seen[0]["r"] != seen[1]["r"]
    assert seen[0]["n"] != seen[1]["n"]
