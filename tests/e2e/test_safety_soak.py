"""A short soak; longer by hand: `cd tests && uv run python -m safety_soak --seconds 600`."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.process
def test_streams_are_right_beside_hostile_mods_and_clients():
    command = [sys.executable, "-m", "safety_soak", "--seconds", "10", "--seed", "short"]
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        command, cwd=tests, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
