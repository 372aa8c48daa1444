"""Servers with a scripted mod, for clients in environments of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from servers import Server
from tiny_gpt_oss import write_tiny_gpt_oss

FOLDER = Path(__file__).parent
CLIENT_S = 300


@pytest.fixture(name="server", scope="session")
def _server():
    server = Server("--mods", FOLDER / "mods")
    yield server
    assert server.stop() == 0


@pytest.fixture(name="gpt_oss_server", scope="session")
def _gpt_oss_server(tmp_path_factory):
    """A server with a tiny gpt-oss, whose mod has it write Harmony."""
    folder = write_tiny_gpt_oss(tmp_path_factory.mktemp("model") / "gpt-oss")
    server = Server("--model", folder, "--mods", FOLDER / "gpt_oss_mods")
    yield server
    assert server.stop() == 0


@pytest.fixture(name="run_client")
def _run_client(server, tmp_path):
    """Run a program against the server; fail with what it printed."""
    return runner(server, tmp_path)


@pytest.fixture(name="run_gpt_oss_client")
def _run_gpt_oss_client(gpt_oss_server, tmp_path):
    """Run a program against the server with gpt-oss; fail with what it printed."""
    agent = f"{gpt_oss_server.model}/agent"
    return runner(
        gpt_oss_server, tmp_path, CONCORDANCE_MODEL=agent, CONCORDANCE_REASONING="I know."
    )


def runner(server, tmp_path, **variables):
    """A function that runs a program against a server, with some environment variables."""

    def run_client(*command, cwd=None):
        environment = {
            "CONCORDANCE_URL": server.url,
            "CONCORDANCE_MODEL": server.model,
            "CONCORDANCE_AGENT": f"{server.model}/agent",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "none",
            "NO_PROXY": "127.0.0.1,localhost",
            "TMPDIR": str(tmp_path),
            **variables,
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
