"""The fixture `play`, which pytest loads as a plugin."""

import subprocess
import sys

import pytest
from concordance_sdk import use
from concordance_sdk.builtin import InjectAtStart
from concordance_sdk.testing import Played

FAILING = """
from concordance_sdk import mod

@mod
def noop(event, actions): ...

def test_that_fails(play):
    play(noop, says="a")
    assert play(noop, says="bc").text == "b"

def test_that_passes(play):
    assert play(noop, says="d").text == "d"
"""


def test_fixture_plays_mods(play):
    played = play(use(InjectAtStart, text="Hi "), says="you")

    assert isinstance(played, Played)
    assert played.text == "Hi you"


@pytest.mark.process
def test_failed_test_shows_its_logs_and_a_passed_one_none(tmp_path):
    (tmp_path / "test_it.py").write_text(FAILING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "what was played (1)" in done.stdout
    assert "what was played (2)" in done.stdout
    assert "added 1 'c'" in done.stdout
    assert "added 0 'd'" not in done.stdout


@pytest.mark.process
def test_the_sdk_does_not_import_pytest():
    code = (
        "import sys, concordance_sdk, concordance_sdk.testing, concordance_sdk.builtin\n"
        "assert 'pytest' not in sys.modules\n"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
