"""Files for deploying are well-formed, and their commands and options exist."""

import hashlib
import json
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from configparser import RawConfigParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from concordance_inference.cli import main  # adds the commands
from concordance_inference.cli.last_resort import EXIT_MARGIN_S
from concordance_inference.cli.options import Serve
from concordance_inference.cli.settings import COMMANDS
from concordance_inference.cli.settings_values import known_variables
from concordance_inference.cli.takes import USAGE
from concordance_inference.models.embedded import PACKAGE, VERSION
from concordance_inference.sandbox.options import SandboxOptions

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILES = sorted(DEPLOY.glob("Dockerfile.*"))
INSTRUCTIONS = {
    *("FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE"),
    *("STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"),
}
assert main.app


def instructions(path):
    """The instructions of a Dockerfile with their arguments, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    logical = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in logical if line.strip()]


def value(path, instruction):
    """The argument of the last instruction of a kind."""
    return [argument for name, argument in instructions(path) if name == instruction][-1]


def assert_command_exists(words):
    """Check a command line after the name `concordance`."""
    command, *rest = words
    flags = {each.flag for each in COMMANDS[command].values()} | {"--config"}
    assert {word for word in rest if word.startswith("--")} <= flags, words


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_has_known_instructions_and_an_unprivileged_user(path):
    names = [name for name, _ in instructions(path)]

    assert names[0] == "FROM"
    assert {*names} == INSTRUCTIONS
    assert value(path, "USER") == "concordance"
    assert value(path, "STOPSIGNAL") == "SIGTERM"
    images = [argument.split()[0] for name, argument in instructions(path) if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", image) for image in images)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_dockerfile_copies_what_exists_and_is_sent_to_the_build(path):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name, argument in instructions(path):
        if name == "COPY" and not argument.startswith("--from"):
            *sources, _ = argument.split()
            assert all((ROOT / source).exists() for source in sources)
            assert all(f"!{source}" in ignored for source in sources)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_caches_of_a_container_are_in_its_volume(path):
    variables = dict(each.split("=", 1) for each in value(path, "ENV").split())

    assert {name for name in variables if name.startswith("CONCORDANCE")} <= known_variables()
    for name in ("CONCORDANCE_CACHE", "CONCORDANCE_STORE", "HF_HOME"):
        assert Path(variables[name]).is_relative_to(value(path, "VOLUME"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_command_and_extra_of_a_dockerfile_exist(path):
    entry, command = json.loads(value(path, "ENTRYPOINT")), json.loads(value(path, "CMD"))
    assert entry == ["concordance"]
    assert_command_exists(command)
    project = tomllib.loads((ROOT / "inference" / "pyproject.toml").read_text())["project"]
    (extra,) = re.findall(r"concordance-inference\[(\w+)\]", path.read_text())
    assert extra in project["optional-dependencies"]
    assert path.suffix == f".{extra}"


def test_dockerfiles_differ_in_the_device_only():
    cpu, cuda = (path.read_text().splitlines() for path in DOCKERFILES)

    differing = [line for line in cuda if line.replace("cuda", "cpu") not in cpu]
    assert all(re.search(r"NVIDIA|--gpus|huggingface \\$", line) for line in differing), differing


@pytest.mark.process
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_check_fails_if_the_server_does_not_work(status, code):
    class Health(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    check = value(DOCKERFILES[0], "HEALTHCHECK").partition(" CMD ")[2]
    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        done = subprocess.run(
            [sys.executable, *json.loads(check)[1:]],
            env={"CONCORDANCE_PORT": str(server.server_port)},
            capture_output=True,
            check=False,
        )
        thread.join()
    assert done.returncode == code


def unit():
    parser = RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(DEPLOY / "concordance.service")
    return parser


def test_systemd_waits_until_the_server_has_ended():
    service = unit()["Service"]

    assert int(service["TimeoutStopSec"]) > Serve().drain_timeout + EXIT_MARGIN_S
    assert service["RestartPreventExitStatus"] == str(USAGE)
    executable, *words = shlex.split(service["ExecStart"])
    assert executable.endswith("/concordance")
    assert_command_exists(words)


@pytest.mark.process
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_finds_no_fault_in_the_unit(tmp_path):
    text = (DEPLOY / "concordance.service").read_text()
    copy = tmp_path / "concordance.service"
    copy.write_text(text.replace("/opt/concordance/bin/concordance", sys.executable))

    done = subprocess.run(
        ["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_lets_all_workers_run_and_survives_the_end_of_one_without_memory():
    service = unit()["Service"]

    assert int(service["TasksMax"]) > 2 * SandboxOptions().max_workers
    assert service["OOMPolicy"] == "continue"
    assert not {"SystemCallFilter", "MemoryDenyWriteExecute", "PrivateDevices"} & {*service}


def test_launchd_waits_until_the_server_has_ended():
    agent = plistlib.loads((DEPLOY / "concordance.plist").read_bytes())

    assert agent["ExitTimeOut"] > Serve().drain_timeout + EXIT_MARGIN_S
    assert agent["ThrottleInterval"] >= 10
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    shell, option, line = agent["ProgramArguments"]
    assert (shell, option) == ("/bin/sh", "-c")
    execute, executable, *words = shlex.split(line)
    assert (execute, executable) == ("exec", "$HOME/.local/bin/concordance")
    assert_command_exists(words)


def test_service_of_the_formula_runs_a_command_that_exists():
    formula = (DEPLOY / "concordance.rb").read_text()

    (listed,) = re.findall(r"run \[(.*)\]", formula)
    executable, *words = re.findall(r'"([^"]*)"', listed)
    assert executable == "concordance"
    assert_command_exists(words)
    (extra,) = re.findall(r"#\{buildpath\}\[(\w+)\]", formula)
    assert extra == "cpu"
    openers = re.findall(
        r"^ *(?:class|def|test do|service do|on_macos do)\b", formula, re.MULTILINE
    )
    assert len(openers) == len(re.findall(r"^ *end$", formula, re.MULTILINE))


@pytest.mark.process
def test_formula_of_a_release_has_its_version_and_checksum(tmp_path):
    sdist = tmp_path / "concordance_inference-1.2.3.tar.gz"
    sdist.write_bytes(b"x")

    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "formula", sdist],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "/concordance_inference-1.2.3.tar.gz" in done.stdout
    assert f'sha256 "{hashlib.sha256(b"x").hexdigest()}"' in done.stdout


def test_version_of_the_embedded_model_is_the_same_everywhere():
    files = [*DEPLOY.iterdir(), ROOT / "inference" / "README.md"]
    pinned = {
        each for path in files for each in re.findall(rf"{PACKAGE}==[\w.]+", path.read_text())
    }

    assert pinned == {f"{PACKAGE}=={VERSION}"}


@pytest.mark.parametrize("name", ["deploying.md", "sharing.md"])
def test_commands_and_files_of_the_page_exist(name):
    page = (ROOT / "docs" / name).read_text()

    for line in re.findall(
        r"(?:concordance|concordance:\w+) ((?:serve|config)(?: [^`\n]*)?)[`\n]", page
    ):
        assert_command_exists(line.split())
    for path in re.findall(r"\bdeploy/[\w.]+", page):
        assert (ROOT / path.rstrip(".")).exists(), path
