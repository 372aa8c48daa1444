import pytest
from keyed import KeyedServer


@pytest.fixture(name="server")
def _server(tmp_path):
    """A server that has a key, so that callers need one."""
    server = KeyedServer(tmp_path / "keys.json")
    server.key("admin")
    return server
