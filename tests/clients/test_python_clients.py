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


#: What is tested with gpt-oss, whose answers are short and set: text, reasoning, formats and tools.
ON_GPT_OSS = (
    "(text or stream or reasoning or thinking or structured or schema or tool or responses)"
    " and not cancelled and not aborted"  # a script ends too soon for these
)
#: Clients of other features, and a count of cached tokens.
LEFT_OUT = "lm_eval_client.py"


@pytest.mark.parametrize(
    "program",
    [path for path in sorted(FOLDER.glob("*.py")) if path.name != LEFT_OUT],
    ids=lambda path: path.stem,
)
def test_a_client_in_python_reads_reasoning_text_and_calls_of_gpt_oss(
    run_gpt_oss_client, tool, program
):
    environment = ("run", "--no-project", "--isolated", "--with-requirements", program)
    printed = run_gpt_oss_client(tool("uv"), *environment, *PYTEST, "-k", ON_GPT_OSS, program)

    assert " passed" in printed
