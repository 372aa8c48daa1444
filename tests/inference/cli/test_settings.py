"""Every option of a command is a setting, by names that are derived and unambiguous."""

import re
from pathlib import Path

import pytest
from concordance_inference.cli import main  # adds the commands
from concordance_inference.cli.options import Generate, Serve
from concordance_inference.cli.settings import (
    COMMANDS,
    declared_settings,
    settings_by_name,
    shared_settings,
)
from concordance_inference.cli.settings_values import known_variables

ROOT = Path(__file__).parents[3]
assert main.app


def test_every_option_of_serve_is_a_setting():
    assert [*COMMANDS["serve"]] == [*Serve.__dataclass_fields__]


def test_arguments_are_not_settings():
    assert "prompt" in Generate.__dataclass_fields__
    assert "prompt" not in COMMANDS["generate"]


def test_flag_and_variables_are_derived_from_the_name_of_an_option():
    setting = COMMANDS["serve"]["max_rows"]

    assert (setting.flag, setting.variable) == ("--max-rows", "CONCORDANCE_MAX_ROWS")
    assert setting.own_variable == "CONCORDANCE_SERVE_MAX_ROWS"
    assert COMMANDS["generate"]["raw"].flag == "--raw"


def test_no_variable_has_two_meanings():
    shared = {each.variable for them in shared_settings().values() for each in them}
    own = [each.own_variable for settings in COMMANDS.values() for each in settings.values()]

    assert len({*own}) == len(own)
    assert not shared & {*own}


def test_option_that_differs_between_commands_is_not_shared():
    assert "tokens" in settings_by_name()  # a switch of generate, a number of bench
    assert "tokens" not in shared_settings()
    assert {"model", "port", "max_tokens", "url", "mods"} <= shared_settings().keys()


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [("api_key", True), ("hub_token", True), ("max_tokens", False), ("stop_token_id", False)],
)
def test_names_of_secrets_are_known(name, is_secret):
    from dataclasses import make_dataclass
    from typing import Annotated

    import typer

    options = make_dataclass("Options", [(name, Annotated[str, typer.Option(help="x")], "")])

    assert declared_settings("x", options)[name].is_secret is is_secret


def test_every_variable_that_sources_and_pages_name_is_known():
    files = [*ROOT.glob("*/src/**/*.py"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/**/*")]
    named = {
        name
        for path in files
        if path.is_file()
        for name in re.findall(r"\bCONCORDANCE_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))
    }

    assert named - known_variables() <= {"CONCORDANCE_SERVICE_HOST", "CONCORDANCE_MAX_ROW"}
