"""A server with the embedded model and a scripted mod, for clients in environments of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from servers import Server

FOLDER = Path(__file__).parent
CLIENT_S = 300


@pytest.fixture(name="server", scope="session")
def _server():
    server = Server("--mods", FOLDER / "mods")
    yield server
    assert server.stop() == 0


@pytest.fixture(name="run_client")
def _run_client(server, tmp_path):
    """Run a program against the server; fail with what it printed."""

    def run_client(*command, cwd=None):
        environment = {
            "CONCORDANCE_URL": server.url,
            "CONCORDANCE_MODEL": server.model,
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "none",
            "NO_PROXY": "127.0.0.1,localhost",
            "TMPDIR": str(tmp_path),
        }
        done = subprocess.run(
            [*map(str, command)],
            cwd=cwd or tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=CLIENT_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    return run_client


@pytest.fixture(name="tool", scope="session")
def _tool():
    """Skip unless a program is installed."""

    def tool(name):
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return tool
