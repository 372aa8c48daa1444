"""Backends of MLX are extras that exclude each other, since their packages own one file."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from concordance_inference.cli.entry import main

ROOT = Path(__file__).parent.parent
BACKENDS = {"cpu", "cuda12", "cuda13", "cuda"}


def read(path):
    return tomllib.loads((ROOT / path).read_text("utf-8"))


def backends(requirements):
    found = [re.match(r"mlx\[(\w+)\]", requirement) for requirement in requirements]
    return {match[1] for match in found if match}


def test_no_mlx_backend_is_a_base_dependency():
    assert not backends(read("inference/pyproject.toml")["project"]["dependencies"])


def test_each_mlx_backend_is_an_extra():
    extras = read("inference/pyproject.toml")["project"]["optional-dependencies"]

    assert backends(extras["cpu"]) == {"cpu"}
    assert backends(extras["cuda"]) == {"cuda13"}
    assert not backends(extras["bench"])


def test_workspace_installs_one_mlx_backend_and_rejects_two():
    root = read("pyproject.toml")
    uv = root["tool"]["uv"]

    assert root["dependency-groups"]["cpu"] == ["concordance-inference[cpu]"]
    assert root["dependency-groups"]["cuda"] == ["concordance-inference[cuda]"]
    assert "cpu" in uv["default-groups"]
    assert "dev" in uv["default-groups"]
    assert "cuda" not in uv["default-groups"]
    assert [{"group": "cpu"}, {"group": "cuda"}] in uv["conflicts"]
    assert not any("[c" in each for each in root["project"]["dependencies"])


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libmlx.so: cannot open shared object file: No such file or directory"),
        ModuleNotFoundError("No module named 'mlx.core'", name="mlx.core"),
    ],
)
def test_missing_mlx_backend_is_reported_in_one_line(monkeypatch, capsys, error):
    def app():
        raise error

    monkeypatch.setattr(import_module("concordance_inference.cli.main"), "app", app)
    with pytest.raises(SystemExit) as exited:
        main()

    assert exited.value.code == 1
    assert "concordance-inference[cpu]" in capsys.readouterr().err
