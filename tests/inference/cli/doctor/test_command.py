"""`concordance doctor` prints all findings, and exits with 1 if `serve` would stop."""

import json

import pytest
from concordance_inference.cli.doctor import command
from concordance_inference.cli.doctor.finding import note, ok, problem
from concordance_inference.cli.main import app
from typer.testing import CliRunner


@pytest.fixture(name="run")
def _run(monkeypatch):
    """Run the command with some checks in place of its own."""

    def run(*checks, arguments=(), **environ):
        if checks:
            monkeypatch.setattr(command, "CHECKS", checks)
        return CliRunner().invoke(app, ["doctor", *arguments], env=environ)

    return run


def fine(options):
    yield ok("fine", f"port {options.port}", port=options.port)
    yield note("extra", "missing")


def wrong(_):
    yield problem("wrong", "bad; do better")


def crashing(_):
    raise KeyError("x")
    yield


def test_findings_are_lines_and_notes_do_not_fail(run):
    done = run(fine)

    assert done.exit_code == 0
    assert "ok       fine      port 8000\nnote     extra     missing\n" in done.output


def test_problem_is_exit_status_1(run):
    done = run(fine, wrong)

    assert done.exit_code == 1
    assert "1 problem: `concordance serve` with these options would stop" in done.output


def test_check_that_raises_is_a_problem(run):
    done = run(crashing, fine)

    assert "problem  crashing  the check failed: KeyError: 'x'" in done.output
    assert "ok       fine" in done.output


def test_findings_as_json(run):
    body = json.loads(run(fine, wrong, arguments=["--json"]).output)

    assert body["ok"] is False
    assert body["findings"][0] == {
        "check": "fine",
        "status": "ok",
        "text": "port 8000",
        "data": {"port": 8000},
    }


def test_settings_are_those_of_serve(run):
    assert "port 7" in run(fine, CONCORDANCE_SERVE_PORT="7").output
    assert "port 9" in run(fine, CONCORDANCE_SERVE_PORT="7", arguments=["--port", "9"]).output


def test_checks_have_distinct_names():
    names = [check.__name__ for check in command.CHECKS]

    assert len({*names}) == len(names)


def test_all_checks_run_on_this_machine(run):
    done = run(arguments=["--port", "0", "--json"])

    assert {each["status"] for each in json.loads(done.output)["findings"]} <= {"ok", "note"}
    assert done.exit_code == 0
