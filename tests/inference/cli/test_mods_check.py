"""Bounds of `concordance mods test`: mods and tests that never end, or that print."""

import threading

import pytest
from concordance_inference.cli import mods_check
from concordance_inference.cli.mods_check import ModFailedError, run
from concordance_inference.cli.options import CheckMods

ENDLESS = """
from concordance_sdk import Added, mod

@mod(on=[Added])
def endless(event, actions):
    while event.step == 3:
        pass

@mod(on=[Added])
def prints(event, actions):
    print("at", event.step)

@mod(on=[Added])
def nothing(event, actions):
    return actions.backtrack(0)
"""


@pytest.fixture(name="file")
def _file(tmp_path):
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    return path


def test_a_handler_that_does_not_return_is_named_and_others_are_checked(file, capsys, monkeypatch):
    monkeypatch.setattr(mods_check, "MAX_CALL_S", 1.0)
    with pytest.raises(ModFailedError, match="endless failed$"):
        run(CheckMods(file=file))

    printed = capsys.readouterr().out
    assert "FAIL  mod 'endless' has not returned from Added (step 3)" in printed
    assert 'endless.py", line 6, in endless' in printed
    assert printed.count("ok    every event and every way to end") == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "time-limited"]


def test_what_a_mod_prints_is_counted_and_not_shown(file, capsys):
    run(CheckMods(file=file, mod=["prints"]))

    printed = capsys.readouterr().out
    assert "at 0" not in printed
    assert "lines, which are shown by `play`" in printed


def test_a_mod_that_backtracks_nothing_ends_every_scene(file, capsys):
    run(CheckMods(file=file, mod=["nothing"]))

    assert "FAIL" not in capsys.readouterr().out


def test_a_check_that_takes_too_long_ends(file, capsys, monkeypatch):
    monkeypatch.setattr(mods_check, "MAX_CHECK_S", 0)
    monkeypatch.setattr(mods_check, "check_conformance", lambda used: _wait())
    with pytest.raises(ModFailedError, match="nothing failed"):
        run(CheckMods(file=file, mod=["nothing"]))

    assert "FAIL  the check took more than 0 s" in capsys.readouterr().out


def _wait():
    while True:
        pass


@pytest.mark.process
def test_a_test_that_does_not_end_is_ended_with_its_stack(file, capfd, monkeypatch):
    monkeypatch.setattr(mods_check, "MAX_TEST_S", 2)
    file.with_name("test_endless.py").write_text(
        "from endless import endless\ndef test_it(play):\n    play(endless, says='abcdef')\n"
    )
    with pytest.raises(ModFailedError, match="its own tests failed"):
        run(CheckMods(file=file, mod=["nothing"]))

    printed = "".join(capfd.readouterr())
    assert "Timeout" in printed
    assert 'endless.py", line 6 in endless' in printed
