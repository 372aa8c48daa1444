"""Servers and commands for the tests that go from end to end."""

import io
import sys
from types import SimpleNamespace

import pytest
from concordance_inference.cli import start
from concordance_inference.cli.entry import main
from servers import Server
from tiny_folder import write_tiny_folder


@pytest.fixture(name="folder", scope="session")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(name="mods_folder", scope="session")
def _mods_folder(tmp_path_factory):
    """A folder of mods that the tiny server watches."""
    folder = tmp_path_factory.mktemp("mods")
    (folder / "first.py").write_text(
        "from concordance_sdk import mod\n@mod\ndef first(event, actions): ...\n"
    )
    return folder


@pytest.fixture(name="tiny_server", scope="session")
def _tiny_server(folder, mods_folder):
    server = Server("--model", folder, "--mods", mods_folder)
    yield server
    assert server.stop() == 0


@pytest.fixture(name="narrow_server", scope="session")
def _narrow_server(folder):
    """A server with one row and few places to wait."""
    server = Server("--model", folder, "--max-rows", 1, "--max-waiting", 8)
    yield server
    assert server.stop() == 0


@pytest.fixture(name="embedded_server", scope="session")
def _embedded_server():
    server = Server()
    yield server
    assert server.stop() == 0


@pytest.fixture(name="run")
def _run(monkeypatch, capsys):
    """Run the command in this process: as typed, but without the seconds that imports take."""

    def run(*arguments, typed=""):
        monkeypatch.setattr(sys, "argv", ["concordance", *map(str, arguments)])
        monkeypatch.setattr(start, "NOTICE_S", 3600.0)  # no notice of a slow step on a busy machine
        raw = typed if isinstance(typed, bytes) else typed.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8"))
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as exc:
            status = exc.code or 0
        captured = capsys.readouterr()
        return SimpleNamespace(returncode=status, stdout=captured.out, stderr=captured.err)

    return run
