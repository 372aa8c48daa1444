"""Tests `cli/serve.py` and `cli/entry.py`: how the command ends when it is interrupted."""

import importlib
import signal
import subprocess
import sys

import pytest
from concordance_inference.cli import entry, serve


def test_sigint_while_the_model_is_loaded_exits_without_a_traceback():
    command = [sys.executable, "-m", "concordance_inference", "serve", "--port", "0"]
    # A shell's background jobs ignore SIGINT, and so would the server of a test run in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    printed = ""
    for line in process.stderr:
        printed += line
        if "loading" in line:
            process.send_signal(signal.SIGINT)

    assert process.wait(60) == 130
    assert "Traceback" not in printed
    process.stderr.close()


def test_sigint_before_a_command_has_started_exits_with_130(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    commands = importlib.import_module("concordance_inference.cli.main")
    monkeypatch.setattr(commands, "main", interrupt)

    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_an_ignored_sigint_remains_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve._exit_on_interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
