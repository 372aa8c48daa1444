"""`concordance config` shows every setting with its source, as TOML that can be used again."""

import json
import tomllib
from pathlib import Path

import pytest
from concordance_inference.cli.config import HIDDEN, shown
from concordance_inference.cli.main import app
from concordance_inference.cli.settings import COMMANDS, Setting
from concordance_inference.cli.settings_file import find_file
from concordance_inference.cli.settings_values import Value, check_names, values_of
from typer.testing import CliRunner


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))

    def run(*arguments, **environ):
        return CliRunner().invoke(app, ["config", *arguments], env=environ)

    return run


def test_every_setting_of_every_command_is_listed_with_its_source(run, tmp_path):
    (tmp_path / "concordance.toml").write_text('model = "m"\n[serve]\nport = 9\n')

    listed = json.loads(run("--json", CONCORDANCE_MAX_ROWS="3").output)

    assert listed["file"] == str(tmp_path / "concordance.toml")
    assert {(each["command"], each["key"]) for each in listed["settings"]} == {
        (command, key) for command, settings in COMMANDS.items() for key in settings
    }
    serve = {each["key"]: each for each in listed["settings"] if each["command"] == "serve"}
    assert (serve["port"]["value"], serve["max_rows"]["value"]) == (9, 3)
    assert serve["model"]["value"] == ["m"]
    assert serve["port"]["source"].endswith("concordance.toml:3")
    assert serve["max_rows"] == {
        "command": "serve",
        "key": "max_rows",
        "value": 3,
        "source": "CONCORDANCE_MAX_ROWS",
        "flag": "--max-rows",
        "variables": ["CONCORDANCE_SERVE_MAX_ROWS", "CONCORDANCE_MAX_ROWS"],
    }


def test_output_is_a_file_of_settings_with_the_same_values(run, tmp_path):
    printed = run(CONCORDANCE_MODS='["a b.py", "c\\"d.py"]', CONCORDANCE_MIN_P="0.25").output

    values = tomllib.loads(printed)
    assert values["serve"]["mods"] == ["a b.py", 'c"d.py']
    assert values["generate"]["min_p"] == 0.25
    assert "# model =" in printed
    (tmp_path / "again.toml").write_text(printed)
    assert tomllib.loads(run("--config", "again.toml").output).keys() == values.keys()


def test_places_of_the_file_are_listed_if_there_is_none(run, tmp_path):
    printed = run("serve").output

    assert str(tmp_path / "concordance.toml") in printed
    assert str(tmp_path / "xdg" / "concordance" / "concordance.toml") in printed


def test_one_command_is_shown_by_its_name(run):
    assert tomllib.loads(run("mods watch").output).keys() == {"mods_watch"}
    assert "did you mean 'serve'?" in str(run("sevre").exception)


def test_wrong_setting_is_an_error(run):
    done = run(CONCORDANCE_PORTS="1")

    assert (done.exit_code, "'CONCORDANCE_PORT'" in done.output) == (2, True)
    assert run(CONCORDANCE_PORT="x").exit_code == 2


def test_secrets_are_not_shown(monkeypatch):
    setting = COMMANDS["generate"]["url"]
    url = Value(setting, "http://me:sesame@host:80/v1", "default")

    assert shown(url) == f"http://me:{HIDDEN}@host:80/v1"
    monkeypatch.setattr(Setting, "is_secret", True)
    assert shown(url) == HIDDEN
    assert shown(Value(setting, None, "default")) is None


def test_example_of_the_page_is_a_file_of_settings(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    (tmp_path / "x.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    file = find_file(tmp_path / "x.toml")

    check_names(file, {})
    values = {command: values_of(command, file, {}) for command in COMMANDS}
    assert values["chat"]["temperature"].value == 0.7


def test_unknown_variable_ends_every_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("models", "config", "mods list", "bench"):
        done = CliRunner().invoke(app, command.split(), env={"CONCORDANCE_CACH": "x"})
        assert (done.exit_code, "'CONCORDANCE_CACHE'" in done.output) == (2, True)
