import pytest
from sandboxes import SANDBOX


@pytest.fixture(name="sandbox", scope="session")
def _sandbox():
    """A sandbox with deadlines that a busy machine keeps."""
    return SANDBOX
