import pytest
from concordance_inference.sandbox.options import SandboxOptions
from sandboxes import started


@pytest.fixture(scope="session")
def sandbox():
    """A sandbox with long time limits, since tests share the machine with others."""
    supervisor = started(SandboxOptions(load_s=20, event_s=20, prefilled_s=20))
    yield supervisor
    supervisor.stop()


@pytest.fixture(scope="session")
def quick_sandbox():
    """A sandbox with the usual limit for events, and a short one for CPU time."""
    supervisor = started(SandboxOptions(load_s=20, cpu_s=1, num_warm=1))
    yield supervisor
    supervisor.stop()
