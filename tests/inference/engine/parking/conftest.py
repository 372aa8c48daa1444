import time

import pytest
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.supervisor import Supervisor


@pytest.fixture(scope="session")
def sandbox():
    """A sandbox with deadlines that a busy machine keeps."""
    supervisor = Supervisor(SandboxOptions(load_s=60, prefilled_s=60, event_s=60))
    supervisor.start()
    deadline = time.monotonic() + 30
    while not supervisor.status.is_available and time.monotonic() < deadline:
        time.sleep(0.01)
    yield supervisor
    supervisor.stop()
