"""Tests `cli/serve.py` and `cli/entry.py`: how the command ends when it is interrupted."""

import importlib
import signal
import subprocess
import sys

import pytest
from concordance_inference.cli import entry, serve


def test_an_interrupt_while_the_model_is_loaded_ends_the_server_quietly():
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


def test_an_interrupt_before_a_command_has_begun_ends_with_its_status(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    commands = importlib.import_module("concordance_inference.cli.main")
    monkeypatch.setattr(commands, "main", interrupt)

    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_a_process_that_ignores_interrupts_goes_on_ignoring_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve._exit_on_interrupt()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
