"""The folders of what is kept from run to run."""

import sys
from pathlib import Path

import pytest
from concordance_inference.keys.state_folder import state_folder, usual_key_file
from concordance_inference.models.cache_folder import cache_folder

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="the folders of Linux")

FOLDERS = [
    (state_folder, "CONCORDANCE_STATE", "XDG_STATE_HOME", ".local/state"),
    (cache_folder, "CONCORDANCE_CACHE", "XDG_CACHE_HOME", ".cache"),
]


@pytest.mark.parametrize(("folder", "own", "xdg", "usual"), FOLDERS)
def test_the_own_variable_wins_over_that_of_xdg_over_the_home_folder(
    folder, own, xdg, usual, monkeypatch
):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(xdg, "/xdg")
    monkeypatch.setenv(own, "~/mine")
    assert folder() == Path("/home/me/mine")
    monkeypatch.setenv(own, "")
    assert folder() == Path("/xdg/concordance")
    monkeypatch.delenv(xdg)
    assert folder() == Path("/home/me", usual, "concordance")


def test_the_usual_file_of_keys_is_in_the_folder(monkeypatch):
    monkeypatch.setenv("CONCORDANCE_STATE", "/state")

    assert usual_key_file() == Path("/state/keys.json")
