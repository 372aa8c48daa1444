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
