import pytest
from recorded_requests import recorded


@pytest.fixture(name="server", scope="session")
def _server(tmp_path_factory):
    with recorded(tmp_path_factory.mktemp("recorded")) as server:
        yield server
