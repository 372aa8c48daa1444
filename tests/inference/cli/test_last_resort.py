"""Exits that do not wait for threads."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

STUCK = """
import threading
from concordance_inference.cli.last_resort import exit_later, exit_now

threading.Thread(target=threading.Event().wait).start()
print("written")
{}
"""


def run(line):
    command = [sys.executable, "-c", STUCK.format(line)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_process_with_a_stuck_thread_exits_after_a_time():
    done = run("exit_later(0.2)")

    assert (done.returncode, done.stdout) == (70, "written\n")
    assert "the process did not end within 0.2 s after a signal" in done.stderr


def test_a_process_exits_at_once_with_its_reason_in_the_log():
    done = run("exit_now('a handler of a mod does not return')")

    assert (done.returncode, done.stdout) == (70, "written\n")
    assert "exiting with status 70: a handler of a mod does not return" in done.stderr
