"""Cost of isolated mods: an event, a lease, the memory of a worker."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from concordance_sdk.testing import ScriptedLogits
from concordance_shared import Added, ForwardPass

from concordance_inference.bench.figures import Figure
from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.outcomes import Ask, LeaseFailed, SentLogits
from concordance_inference.sandbox.protocol.events import ModSource
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_inference.sandbox.waiting import wait_for

_EVENTS, _LEASES, _START_S = 5000, 50, 60.0

#: A step of the device, in seconds, and the number of steps.
_STEP_S, _STEPS = 0.01, 300

#: Bytes of a process's own memory per KiB of `/proc`.
_KIB = 1 / 1024

_SOURCE = """
from concordance_sdk import mod

@mod(logits=8)
class measured:
    def forward_pass(self, event, actions):
        if event.logits.top_k(1)[0][0] == 300:
            return actions.noop()

    def added(self, event, actions):
        pass
"""

_WIDTH = 1000


def figures() -> Iterator[Figure]:
    """Measure a mod that reads the top logits and sees each token."""
    sandbox = Supervisor(SandboxOptions(load_s=_START_S, event_s=_START_S))
    sandbox.start()
    try:
        if reason := _wait(sandbox):
            yield _figure("sandbox", None, "us", missing=reason)
            return
        yield from _figures(sandbox)
    finally:
        sandbox.stop()


def _wait(sandbox: Supervisor) -> str:
    """Wait for the self-test; return why no mod can run."""
    end = time.monotonic() + _START_S
    while not sandbox.status.is_available and time.monotonic() < end:
        time.sleep(0.01)
    return sandbox.status.reason


def _figures(sandbox: Supervisor) -> Iterator[Figure]:
    seconds = [_lease_s(sandbox) for _ in range(_LEASES)]
    yield _figure(
        "lease of a warm worker, and load of its mod, p50",
        1e3 * statistics.median(seconds),
        "ms",
        target=5.0,
    )
    lease, _ = _leased(sandbox)
    sent = SentLogits(_WIDTH, top=[(i, float(-i)) for i in range(8)])
    logits = ScriptedLogits([0.0] * _WIDTH)
    events = {
        "Added": [Ask(0, Added(request_id="r", step=0, added_tokens=(65,), forced=False))],
        "ForwardPass with the top 8 logits": [
            Ask(0, ForwardPass(request_id="r", step=0, logits=logits), sent)
        ],
    }
    for name, asks in events.items():
        microseconds = statistics.median(_event_us(lease, asks) for _ in range(_EVENTS))
        yield _figure(f"{name} in a worker, warm, p50", microseconds, "us", target=30.0)
    overlapped = statistics.median(_overlapped_us(lease, events["Added"]) for _ in range(_STEPS))
    yield _figure("Added in a worker, beside steps of 10 ms, p50", overlapped, "us", target=150.0)
    yield _figure("private memory of a worker", _private_mb(lease.pid), "MB", target=5.0)
    lease.kill()


def _lease_s(sandbox: Supervisor) -> float:
    lease, seconds = _leased(sandbox)
    lease.kill()
    return seconds


def _leased(sandbox: Supervisor) -> tuple[Lease, float]:
    """Lease a worker; return the lease, and the time until its mod is loaded."""
    source = ModSource(name="measured", files={"m.py": _SOURCE}, module="m", entrypoint="measured")
    while not sandbox.status.num_warm:
        time.sleep(0.001)
    time.sleep(0.02)  # workers that are warm, not ones that are being forked
    started = time.perf_counter()
    lease = sandbox.lease(LeaseRequest(source=source))
    outcome = wait_for(lease)
    if isinstance(outcome, LeaseFailed):
        raise outcome.error
    return lease, time.perf_counter() - started


def _event_us(lease: Lease, asks: list[Ask]) -> float:
    """Send events and poll until they are answered; return the time in microseconds."""
    started = time.perf_counter()
    lease.send(asks)
    while lease.poll() is None:
        pass
    return 1e6 * (time.perf_counter() - started)


def _overlapped_us(lease: Lease, asks: list[Ask]) -> float:
    """Send events, compute for a step, then poll; return the time of sending and polling."""
    started = time.perf_counter()
    lease.send(asks)
    sent = time.perf_counter()
    while time.perf_counter() < sent + _STEP_S:
        pass
    resumed = time.perf_counter()
    while lease.poll() is None:
        pass
    return 1e6 * (sent - started + time.perf_counter() - resumed)


def _private_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    private = (line.split()[1] for line in fields if line.startswith("Private_"))
    return sum(map(int, private)) * _KIB


def _figure(
    name: str,
    value: float | None,
    unit: str,
    *,
    target: float | None = None,
    missing: str | None = None,
) -> Figure:
    return Figure(
        name=name, model="-", value=value, unit=unit, target=target, at_most=True, missing=missing
    )
