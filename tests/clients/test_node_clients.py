"""Clients in JavaScript, installed by npm."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "node"

pytestmark = pytest.mark.clients


@pytest.fixture(name="project", scope="module")
def _project(tool, tmp_path_factory):
    """The tests in a folder with their packages."""
    project = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(FOLDER, project)
    npm = [tool("npm"), "install", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(npm, cwd=project, check=True, timeout=300)
    return project


@pytest.mark.parametrize("program", sorted(FOLDER.glob("*.test.js")), ids=lambda path: path.stem)
def test_a_client_in_javascript_works_with_the_server(run_client, tool, project, program):
    printed = run_client(tool("node"), "--test", program.name, cwd=project)

    assert "# fail 0" in printed


@pytest.mark.parametrize("program", sorted(FOLDER.glob("*.test.js")), ids=lambda path: path.stem)
def test_a_client_in_javascript_reads_reasoning_text_and_calls_of_gpt_oss(
    run_gpt_oss_client, tool, project, program
):
    some = ("--test-name-pattern", "text|stream|reasoning|structured|tool")
    printed = run_gpt_oss_client(tool("node"), "--test", *some, program.name, cwd=project)

    assert "# fail 0" in printed
    assert "# pass 0" not in printed


def test_a_scanner_of_openais_api_finds_no_fault(run_client, server, tool, project):
    address = ("--base-url", f"{server.url}/v1", "--model", server.model, "--timeout", 120)
    scan = ("compatcanary", "scan", *address, "--format", "json", "--fail-on", "any")
    report = json.loads(run_client(tool("npx"), *scan, cwd=project))

    assert report["summary"]["passes"] == report["summary"]["total"] > 0
