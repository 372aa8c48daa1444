import time

import pytest
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.supervisor import Supervisor


def started(options):
    supervisor = Supervisor(options)
    supervisor.start()
    deadline = time.monotonic() + 30
    while not supervisor.status.is_available and time.monotonic() < deadline:
        time.sleep(0.01)
    return supervisor


@pytest.fixture(scope="session")
def sandbox():
    """A sandbox with long time limits, since tests share the machine with others."""
    supervisor = started(SandboxOptions(load_s=20, event_s=20, prefilled_s=20))
    yield supervisor
    supervisor.stop()


@pytest.fixture(scope="session")
def quick_sandbox():
    """A sandbox with short time limits."""
    supervisor = started(SandboxOptions(load_s=0.5, cpu_s=1, num_warm=1))
    yield supervisor
    supervisor.stop()
