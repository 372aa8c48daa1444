import pytest
from msgspec.structs import replace
from sandboxes import PATIENT, started


@pytest.fixture(scope="session")
def sandbox():
    """A sandbox with long time limits, since tests share the machine with others."""
    supervisor = started(PATIENT)
    yield supervisor
    supervisor.stop()


@pytest.fixture(scope="session")
def quick_sandbox():
    """A sandbox with the usual limit for events, and a short one for CPU time.

    Its workers have so much memory that they reach the time limit before, also where this process
    notices it late.
    """
    options = replace(PATIENT, event_s=0.25, cpu_s=1, num_warm=1, memory=1 << 30)
    supervisor = started(options)
    yield supervisor
    supervisor.stop()
