"""Progress of loading a model, and mods as the command line names them."""

import time

import pytest
from concordance_inference.cli import start
from concordance_inference.cli.options import Chat
from concordance_inference.cli.start import parse_mod, running
from concordance_shared import InvalidRequestError, ModelLoadError


def test_slow_step_is_reported_on_a_pipe_while_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(start, "NOTICE_S", 0.05)
    printed = ""
    with start._status() as progress:
        progress("loading a model")
        progress("calibrating the model")
        deadline = time.monotonic() + 10
        while "calibrating" not in printed and time.monotonic() < deadline:
            time.sleep(0.01)
            printed += capsys.readouterr().err

    assert printed.endswith("… calibrating the model\n")


def test_quick_steps_print_nothing_on_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr(start, "NOTICE_S", 0.2)
    with start._status() as progress:
        progress("loading a model")
    time.sleep(0.4)

    assert capsys.readouterr().err == ""


def test_comma_splits_parameters_only_before_a_key():
    mod = parse_mod("replace:find=a,b,replacement=c=d")

    assert (mod.name, mod.params) == ("replace", {"find": "a,b", "replacement": "c=d"})
    assert parse_mod("greeting").params == {}
    with pytest.raises(InvalidRequestError, match="key=value"):
        parse_mod("replace:x")


def test_mlock_reaches_the_model(monkeypatch):
    given = {}

    def runtime(model, mods, **options):
        given.update(options)
        raise ModelLoadError("far enough")

    monkeypatch.setattr("concordance_inference.runtime.Runtime", runtime)
    with pytest.raises(ModelLoadError), running(Chat(mlock=True)):
        pass
    assert given["locks_memory"] is True
