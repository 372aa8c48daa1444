"""Clients in Python: each file in `python/` names its packages and has tests of its own."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "python"
PYTEST = (
    "python",
    "-m",
    "pytest",
    "-q",
    "-c",
    os.devnull,
    "--noconftest",
    "-p",
    "no:cacheprovider",
)

pytestmark = pytest.mark.clients


@pytest.mark.parametrize("program", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_client_in_python_works_with_the_server(run_client, tool, program):
    environment = ("run", "--no-project", "--isolated", "--with-requirements", program)
    printed = run_client(tool("uv"), *environment, *PYTEST, program)

    assert " passed" in printed


@pytest.mark.parametrize(
    "name", ["openai", "openai_agents", "langchain", "pydantic_ai", "anthropic"]
)
def test_a_client_in_python_runs_a_loop_with_tools_on_gpt_oss(run_gpt_oss_client, tool, name):
    program = FOLDER / f"{name}_client.py"
    environment = ("run", "--no-project", "--isolated", "--with-requirements", program)
    # Without the Responses API, this client sends the result of a call without the call.
    loops = ("-k", "an_agent_with or loop or (the_server_keeps and Responses)")
    printed = run_gpt_oss_client(tool("uv"), *environment, *PYTEST, *loops, program)

    assert " passed" in printed
