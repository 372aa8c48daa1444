"""The filter, interpreted: what it returns for each system call of each architecture."""

import errno
import os

import pytest
from concordance_inference.sandbox.confinement import landlock, linux, seccomp
from concordance_inference.sandbox.confinement.syscalls import ARCHITECTURES, CLONE3, MEMORY_CALLS
from concordance_inference.sandbox.outcomes import Ready
from sandboxes import handler, leased

ALLOW, KILL, EPERM = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
ENOSYS = 0x00050000 | errno.ENOSYS


def run(program, *, number, arch, argument=0):
    """Interpret a program of classic BPF."""
    words = {0: number, 4: arch, 32: argument & 0xFFFFFFFF}
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            accumulator = words[operand]
        elif code == 0x06:
            return operand
        else:
            is_true = {
                0x15: accumulator == operand,
                0x35: accumulator >= operand,
                0x45: bool(accumulator & operand),
            }[code]
            at += if_true if is_true else if_false


@pytest.fixture(params=ARCHITECTURES)
def machine(request):
    return ARCHITECTURES[request.param]


def test_only_listed_system_calls_are_allowed(machine):
    program = seccomp.filter_for(machine)
    allowed = {
        number for number in range(1000) if run(program, number=number, arch=machine.audit) == ALLOW
    }
    assert allowed == set(machine.calls.values())


def test_other_system_calls_are_refused_with_eperm(machine):
    program = seccomp.filter_for(machine)
    others = set(range(1000)) - set(machine.calls.values()) - {CLONE3}
    assert {run(program, number=each, arch=machine.audit) for each in others} == {EPERM}
    assert run(program, number=CLONE3, arch=machine.audit) == ENOSYS


@pytest.mark.parametrize("name", MEMORY_CALLS)
def test_memory_can_never_be_made_executable(machine, name):
    program = seccomp.filter_for(machine)
    number = machine.calls[name]
    found = [run(program, number=number, arch=machine.audit, argument=i) for i in range(8)]
    assert found == [ALLOW] * 4 + [EPERM] * 4


def test_system_calls_of_another_architecture_kill(machine):
    program = seccomp.filter_for(machine)
    for other in ARCHITECTURES.values():
        if other is not machine:
            assert run(program, number=0, arch=other.audit) == KILL
    assert run(program, number=0, arch=0x40000003) == KILL  # i386


def test_x32_calls_kill():
    machine = ARCHITECTURES["x86_64"]
    assert run(seccomp.filter_for(machine), number=0x40000000, arch=machine.audit) == KILL


def test_tables_of_both_architectures_have_the_same_calls():
    tables = [set(each.calls) for each in ARCHITECTURES.values()]
    assert tables[0] - tables[1] == {"poll"}  # aarch64 has only `ppoll`
    assert tables[1] - tables[0] == set()


def test_machine_without_a_table_is_named(monkeypatch):
    name = type(os.uname())(("Linux", "", "", "", "riscv64"))
    monkeypatch.setattr(os, "uname", lambda: name)
    with pytest.raises(seccomp.UnsupportedMachineError, match="riscv64"):
        seccomp.architecture()
    linux._program.cache_clear()
    linux.prepare()  # fails later, where the worker reports it


def test_worker_reports_its_layers(sandbox):
    lease, ready = leased(sandbox, handler("return None"))
    lease.kill()
    assert isinstance(ready, Ready)
    version = landlock.abi_version()
    assert lease.layers == {
        "seccomp": "filter",
        "landlock": f"ABI {version}" if version else "none",
    }
