import time

import pytest
from concordance_inference.sandbox.supervisor import Supervisor


@pytest.fixture(scope="session")
def sandbox():
    """A started sandbox, shared by the tests of a session."""
    supervisor = Supervisor()
    supervisor.start()
    deadline = time.monotonic() + 30
    while not supervisor.status.is_available and time.monotonic() < deadline:
        time.sleep(0.01)
    yield supervisor
    supervisor.stop()
