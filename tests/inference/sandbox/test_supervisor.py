import gc
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from concordance_inference.models.embedded_folder import embedded_folder
from concordance_inference.sandbox import memory, self_test, supervisor
from concordance_inference.sandbox.models import SandboxModel
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Answered, LeaseFailed, Ready
from concordance_inference.sandbox.protocol import control
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.self_test import faults_of
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_inference.sandbox.waiting import wait_for
from concordance_inference.sandbox.worker import children
from concordance_inference.sandbox.worker.children import Child, Children
from concordance_shared import (
    Conversation,
    EngineOverloadedError,
    Message,
    ModLoadError,
    SandboxUnavailableError,
)
from msgspec.structs import replace
from sandboxes import PATIENT, added, handler, leased, outcome_of, source_of

NOOP = handler("return None")


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return result


def children_of(pid):
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


def num_fds():
    return len(list(Path("/proc/self/fd").iterdir()))


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_module_globals_of_a_mod_end_with_the_request(sandbox):
    source = source_of(
        "from concordance_sdk import *\nseen = []\n@mod(on=[Added])\n"
        "def tested(event, actions):\n    seen.append(event.step)\n"
        "    return actions.report(seen=list(seen))\n"
    )
    for _ in range(2):
        outcome = outcome_of(sandbox, source, added(0, b"a"), added(1, b"b"))
        assert [each.reports[0].data["seen"] for each in outcome.results] == [[0], [0, 1]]


def test_failing_mod_does_not_disturb_another_lease(sandbox):
    healthy, _ = leased(sandbox, NOOP)
    hostile, _ = leased(sandbox, handler("import os; os._exit(1)"))
    for lease in (healthy, hostile):
        lease.send([added(0, b"a")])
    assert isinstance(wait_for(hostile), LeaseFailed)
    assert isinstance(wait_for(healthy), Answered)
    healthy.kill()
    hostile.kill()


def test_parameters_are_validated_in_the_worker(sandbox):
    source = source_of(
        "from concordance_sdk import *\n@mod\nclass tested:\n    words: list[str]\n"
        "    def added(self, event, actions): return actions.report(words=self.words)\n"
    )
    outcome = outcome_of(sandbox, source, parameters={"words": ["a"]})
    assert outcome.results[0].reports[0].data == {"words": ["a"]}
    outcome = outcome_of(sandbox, source, parameters={"words": 3}, param="mods[1]")
    assert (outcome.error.status_code, outcome.error.param) == (400, "mods[1].params")


def test_mod_is_described_without_running_a_request(sandbox):
    described = sandbox.describe(NOOP, {"source": "uploaded"})
    assert described.events == ("Added",)
    assert b'"source":"uploaded"' in described.description
    with pytest.raises(ModLoadError, match="ZeroDivisionError"):
        sandbox.describe(source_of("1 / 0"), {})


def test_more_leases_than_workers_are_rejected_until_one_ends():
    sandbox = Supervisor(replace(PATIENT, max_workers=2, num_warm=1))
    sandbox.start()
    try:
        assert until(lambda: sandbox.status.is_available), sandbox.status
        assert until(lambda: sandbox.status.num_leased == 0)
        leases = [sandbox.lease(LeaseRequest(source=NOOP)) for _ in range(2)]
        with pytest.raises(EngineOverloadedError):
            sandbox.lease(LeaseRequest(source=NOOP))
        leases[0].kill()
        assert until(lambda: sandbox.status.num_leased == 1)
        leases.append(sandbox.lease(LeaseRequest(source=NOOP)))
        for lease in leases:
            lease.kill()
    finally:
        sandbox.stop()


def test_number_of_workers_is_limited_by_memory():
    assert SandboxOptions(memory_share=1.0, memory=1).num_workers == 64
    assert SandboxOptions(memory_share=0.5, memory=1 << 50).num_workers == 2


def test_self_test_is_not_refused_when_all_workers_are_leased():
    sandbox = Supervisor(replace(PATIENT, max_workers=1, num_warm=0))
    sandbox.start()
    try:
        assert until(lambda: sandbox.status.is_available), sandbox.status
        assert until(lambda: sandbox.status.num_leased == 0)
        lease = sandbox.lease(LeaseRequest(source=NOOP))
        assert faults_of(lambda request: sandbox._lease(request, is_test=True)) == []
        lease.kill()
    finally:
        sandbox.stop()


def test_request_that_is_too_long_for_a_worker_is_the_clients_error(sandbox, monkeypatch):
    conversation = Conversation(messages=(Message(role="user", content="x" * (33 << 20)),))
    outcome = outcome_of(sandbox, NOOP, conversation=conversation)
    assert (outcome.error.status_code, outcome.error.code) == (400, "invalid_value")
    conversation = Conversation(messages=(Message(role="user", content="\ud800"),))
    assert outcome_of(sandbox, NOOP, conversation=conversation).error.status_code == 400


def test_killed_zygote_fails_its_leases_and_is_started_again(monkeypatch):
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0.01)
    sandbox = Supervisor(replace(PATIENT, num_warm=1))
    sandbox.start()
    try:
        assert until(lambda: sandbox.status.is_available), sandbox.status
        lease, ready = leased(sandbox, NOOP)
        assert isinstance(ready, Ready)
        worker = lease.pid
        (zygote,) = [pid for pid in children_of(os.getpid()) if worker in children_of(pid)]
        os.kill(zygote, signal.SIGKILL)
        lease.send([added(0, b"a")])
        while isinstance(outcome := wait_for(lease), Answered):
            lease.send([added(0, b"a")])
        assert outcome.error.code == "sandbox_unavailable"
        lease.kill()
        assert until(lambda: not is_running(worker))
        assert until(lambda: sandbox.status.is_available)
        assert isinstance(outcome_of(sandbox, NOOP), Answered)
    finally:
        sandbox.stop()


def test_leases_leave_no_descriptor_and_no_process(sandbox):
    outcome_of(sandbox, NOOP)
    assert until(lambda: sandbox.status.num_leased == 0 and sandbox.status.num_warm == 4)
    gc.collect()
    before = num_fds()
    for each in (NOOP, handler("1/0"), handler("import os; os._exit(1)"), source_of("1/0")) * 5:
        outcome_of(sandbox, each)
    assert until(lambda: sandbox.status.num_leased == 0 and sandbox.status.num_warm == 4)
    assert until(lambda: num_fds() == before)


def test_stopping_ends_the_zygote_and_every_worker():
    sandbox = Supervisor(PATIENT)
    before = set(children_of(os.getpid()))
    sandbox.start()
    assert until(lambda: sandbox.status.is_available), sandbox.status
    lease, _ = leased(sandbox, handler("while True: pass"))
    lease.send([added(0, b"a")])
    (zygote,) = set(children_of(os.getpid())) - before
    workers = children_of(zygote)
    assert lease.pid in workers
    sandbox.stop()
    assert not is_running(zygote)
    assert until(lambda: not any(map(is_running, workers)))
    lease.kill()
    with pytest.raises(SandboxUnavailableError):
        sandbox.lease(LeaseRequest(source=NOOP))


@pytest.mark.process
def test_no_worker_outlives_an_engine_that_is_killed():
    program = (
        "import sys, time\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from sandboxes import *\n"
        "from concordance_inference.sandbox.supervisor import Supervisor\n"
        "sandbox = Supervisor(PATIENT); sandbox.start()\n"
        "while not sandbox.status.is_available: time.sleep(.01)\n"
        "lease, _ = leased(sandbox, handler('while True: pass'))\n"
        "lease.send([added(0, b'a')])\n"
        "print(lease.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as engine:
        worker = int(engine.stdout.readline())
        assert is_running(worker)
        engine.kill()
    assert until(lambda: not is_running(worker))


def test_sandbox_whose_test_fails_is_not_available(monkeypatch):
    probe = self_test._PROBE.replace('"allocate 1 GB"', '"breathe": lambda: None, "allocate 1 GB"')
    source = self_test.ModSource(
        name="probe", files={"p.py": probe}, module="p", entrypoint="probe"
    )
    monkeypatch.setattr(self_test, "_SOURCE", source)
    sandbox = Supervisor(replace(PATIENT, num_warm=0))
    sandbox.start()
    try:
        assert until(lambda: "can breathe" in sandbox.status.reason), sandbox.status
        with pytest.raises(SandboxUnavailableError, match="a worker can breathe"):
            sandbox.lease(LeaseRequest(source=NOOP))
        with pytest.raises(SandboxUnavailableError):
            sandbox.describe(NOOP, {})
    finally:
        sandbox.stop()


def test_interpreter_that_cannot_start_is_the_reason_why_mods_cannot_run():
    sandbox = Supervisor(SandboxOptions(python="/nowhere/python"))
    sandbox.start()
    try:
        assert until(lambda: "cannot be started" in sandbox.status.reason), sandbox.status
        with pytest.raises(SandboxUnavailableError, match="cannot be started"):
            sandbox.lease(LeaseRequest(source=NOOP))
    finally:
        sandbox.stop()


@pytest.mark.process
def test_workers_that_are_spawned_are_like_those_that_are_forked(tokenizer_state):
    sandbox = Supervisor(replace(PATIENT, num_warm=0, spawns=True))
    sandbox.models.add(SandboxModel("smol", "fast", tokenizer_state, (2,), 49152))
    sandbox.start()
    try:
        assert until(lambda: sandbox.status.is_available), sandbox.status
        source = handler("return actions.force_tokens(tokenizer.encode(' Hello'))")
        lease, ready = leased(sandbox, source, model="smol")
        assert isinstance(ready, Ready), ready
        lease.send([added(0, [5])])
        assert wait_for(lease).results[0].action.tokens == (38699,)
        lease.kill()
        assert until(lambda: not is_running(lease.pid))
    finally:
        sandbox.stop()


@pytest.fixture
def tokenizer_state():
    return (embedded_folder() / "tokenizer.json").read_bytes()


def test_memory_without_a_memfd_is_a_file_without_a_name(monkeypatch):
    monkeypatch.setattr(memory, "_HAS_MEMFD", False)
    fd = memory.sealed_file("test", 8, b"abc")
    assert os.pread(fd, 9, 0) == b"abc\0\0\0\0\0"
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


def test_children_without_descriptors_are_polled(monkeypatch):
    monkeypatch.setattr(children, "_HAS_PIDFD", False)
    found = Children(select.poll())
    assert found.timeout_ms is None
    with subprocess.Popen(["sleep", "60"]) as process:
        found.add(Child(7, process.pid, 1))
        assert found.timeout_ms == 10
        assert list(found.ended()) == []
        found.kill(7)
        assert until(lambda: list(found.ended())) == [(7, -9)]
        assert found.timeout_ms is None


def test_messages_of_the_zygote_round_trip():
    message = control.Forked(3, 100, has_pidfd=True)
    assert control.FROM_ZYGOTE.decode(control.ENCODER.encode(message)) == message
