"""An operation of this process fails while a mod of a worker runs: a clean error, no leak."""

import gc
import sys
import time

import psutil
import pytest
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Answered, LeaseFailed
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.waiting import wait_for
from concordance_shared import ConcordanceError
from faults import Footprint, each_fault
from sandboxes import added, handler, outcome_of, started

HEALTHY = handler("return actions.force_tokens([event.step, 7])")

#: A worker whose zygote was lost, or that never came up.
CODES = {"sandbox_unavailable", "mod_died", "mod_protocol"}


@pytest.fixture(name="small", scope="module")
def _small():
    sandbox = started(SandboxOptions(load_s=20, event_s=20, prefilled_s=20, num_warm=1))
    yield sandbox
    sandbox.stop()


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.005)
    return result


def is_settled(sandbox):
    status = sandbox.status
    return status.is_available and (status.num_leased, status.num_warm) == (0, 1)


def footprint(sandbox):
    assert until(lambda: is_settled(sandbox)), sandbox.status
    gc.collect()
    return Footprint()


def check_answer(outcome):
    """It is right, or an error that says what happened."""
    if isinstance(outcome, LeaseFailed):
        assert outcome.error.code in CODES, outcome
        return
    assert isinstance(outcome, Answered), outcome
    assert outcome.results[0].action.tokens == (3, 7)


@pytest.mark.parametrize(
    "kind",
    [
        "memfd",
        "truncate",
        "map",
        "socketpair",
        "send descriptors",
        "receive descriptors",
        "send",
        "send all",
        "receive",
        "start a process",
        "write",
    ],
)
def test_sandbox_survives_each_failed_operation(small, kind):
    check_answer(outcome_of(small, HEALTHY, added(3, b"a")))
    before = footprint(small)
    for fault in each_fault(kind):
        with fault.injected():
            try:
                check_answer(outcome_of(small, HEALTHY, added(3, b"a")))
            except ConcordanceError as exc:
                assert exc.code == "sandbox_unavailable", exc  # noqa: PT017  # one of two ways
            until(lambda: is_settled(small), 2.0)
        assert until(lambda: is_settled(small)), (fault.number, small.status)
        outcome = outcome_of(small, HEALTHY, added(3, b"a"))
        assert isinstance(outcome, Answered), (fault.number, outcome)
        assert until(lambda: footprint(small) == before), (fault.number, before, footprint(small))


def test_other_lease_answers_while_no_worker_can_be_forked(small):
    healthy = small.lease(LeaseRequest(source=HEALTHY))
    wait_for(healthy)
    for fault in each_fault("memfd", at_most=10):
        with fault.injected():
            try:
                small.lease(LeaseRequest(source=HEALTHY)).kill()
            except ConcordanceError as exc:
                assert exc.code == "sandbox_unavailable"  # noqa: PT017  # one of two ways
            healthy.send([added(3, b"a")])
            assert wait_for(healthy).results[0].action.tokens == (3, 7)
    healthy.kill()


#: Runs a zygote in which an operation fails, in place of an interpreter.
FAULTY = """#!{python} -I
import os, runpy, sys

real, calls = os.{name}, 0

def operation(*args):
    global calls
    calls += 1
    if calls % {every} == 0:
        raise OSError(11, "injected")
    return real(*args)

os.{name} = operation
sys.argv = sys.argv[3:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(("name", "every"), [("fork", 3), ("pidfd_open", 1)])
def test_zygote_survives_failed_operations(tmp_path, name, every):
    python = tmp_path / "python"
    python.write_text(FAULTY.format(python=sys.executable, name=name, every=every))
    python.chmod(0o755)
    options = SandboxOptions(load_s=20, event_s=20, num_warm=1, python=str(python))
    sandbox = started(options)
    before = {each.pid for each in psutil.Process().children()}
    outcomes = [outcome_of(sandbox, HEALTHY, added(3, b"a")) for _ in range(8)]
    for outcome in outcomes:
        check_answer(outcome)
    assert sum(isinstance(each, Answered) for each in outcomes) >= 4
    assert {each.pid for each in psutil.Process().children()} == before  # none was restarted
    assert until(lambda: sandbox.status.num_leased == 0)
    sandbox.stop()
