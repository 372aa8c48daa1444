"""Each setting of `serve`: by flag, by variables and by file, with the same effect."""

from pathlib import Path
from typing import get_args

import concordance_inference.cli.main  # noqa: F401  # declares the settings of all commands
import msgspec
import pytest
import typer
import typer.main
from click.testing import CliRunner
from concordance_inference.cli.options import Serve
from concordance_inference.cli.settings import COMMANDS, shared_settings
from concordance_inference.cli.takes import takes

SETTINGS = list(COMMANDS["serve"].values())
NUMBERS = [each for each in SETTINGS if each.item in (int, float)]


SEEN = []
MADE = typer.Typer()
MADE.command()(takes(Serve, settings_of="serve")(SEEN.append))
COMMAND = typer.main.get_command(MADE)


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    """Run `serve` with a file of settings; return its options, or the result with its output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments, file="", **variables):
        (tmp_path / "concordance.toml").write_text(file)
        SEEN.clear()
        done = CliRunner().invoke(COMMAND, arguments, env=variables)
        return SEEN[0] if SEEN else done

    return run


def values_of(setting):
    """Three values that are no default, neighbours of which differ."""
    item, low = setting.item, setting.option.min
    if item is bool:
        return [True, False, True]
    if item in (int, float):
        least = 0 if low is None else low
        return [item(least + i + 1) for i in range(3)]
    if choices := get_args(item):
        others = [each for each in choices if each != setting.default]
        return [others[0], choices[0] if choices[0] != others[0] else choices[1], others[0]]
    made = [Path(f"/{c}") if item is Path else f"{c}=x" for c in "abc"]
    return [[each, made[0]] for each in made] if setting.is_list else made


def texts_of(value):
    return [text_of(each) for each in (value if isinstance(value, list) else [value])]


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def arguments_of(setting, value):
    """The arguments of the command line; `None` for a switch that has no flag for this."""
    if setting.item is not bool:
        return [part for text in texts_of(value) for part in (setting.flag, text)]
    if value:
        return [setting.flag]
    is_switch = isinstance(setting.option.default, str)  # where typer has the name of a flag
    return None if is_switch else [setting.flag.replace("--", "--no-", 1)]


def variable_of(value):
    texts = texts_of(value)
    return msgspec.json.encode(texts).decode() if isinstance(value, list) else texts[0]


def line_of(setting, value):
    plain = texts_of(value) if isinstance(value, list) else value
    plain = str(plain) if isinstance(plain, Path) else plain
    return f"{setting.name} = {msgspec.json.encode(plain).decode()}\n"


def found(options, setting):
    assert isinstance(options, Serve), options.output
    return getattr(options, setting.name)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_a_setting_has_the_same_effect_by_flag_by_variable_and_by_file(run, setting):
    for value in values_of(setting):
        if (arguments := arguments_of(setting, value)) is not None:
            assert found(run(*arguments), setting) == value
        assert found(run(**{setting.own_variable: variable_of(value)}), setting) == value
        assert found(run(file="[serve]\n" + line_of(setting, value)), setting) == value
        if setting.name in shared_settings() and not setting.is_list:
            assert found(run(**{setting.variable: variable_of(value)}), setting) == value
            assert found(run(file=line_of(setting, value)), setting) == value


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_file(run, setting):
    in_file, in_variable, given = values_of(setting)
    file = "[serve]\n" + line_of(setting, in_file)
    variables = {setting.own_variable: variable_of(in_variable)}

    assert in_file != in_variable != given
    assert found(run(file=file), setting) == in_file
    assert found(run(file=file, **variables), setting) == in_variable
    arguments = arguments_of(setting, given)
    assert found(run(*arguments, file=file, **variables), setting) == given


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_a_value_of_a_wrong_type_is_refused_with_its_place(run, setting):
    refused = run(file=f"\n[serve]\n{setting.name} = 2024-01-01\n")
    assert refused.exit_code == 2
    assert f"concordance.toml:3: `{setting.name}` in [serve]" in refused.output

    if setting.item not in (str, Path):  # any text is one of these
        refused = run(**{setting.own_variable: "nonsense"})
        assert refused.exit_code == 2
        assert f"{setting.own_variable}: 'nonsense' is not" in refused.output
    if setting.item not in (str, Path, bool):
        refused = run(setting.flag, "nonsense")
        assert refused.exit_code == 2
        assert f"Invalid value for '{setting.flag}'" in refused.output


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda each: each.name)
def test_a_number_out_of_bounds_is_refused_with_its_place(run, setting):
    bounds = [
        bound + step
        for bound, step in ((setting.option.min, -1), (setting.option.max, 1))
        if bound is not None
    ]

    assert bounds, "a number without bounds"
    for number in map(setting.item, bounds):
        refused = run(file=f"[serve]\n{setting.name} = {number}\n")
        assert (refused.exit_code, "concordance.toml:2" in refused.output) == (2, True)
        refused = run(**{setting.own_variable: str(number)})
        assert (refused.exit_code, setting.own_variable in refused.output) == (2, True)
        refused = run(f"{setting.flag}={number}")
        assert (refused.exit_code, setting.flag in refused.output) == (2, True)


def test_the_bounds_of_a_number_are_values():
    for setting in NUMBERS:
        option = setting.option
        assert option.max is None or option.min is None or option.min < option.max
        default = setting.default
        assert default is None or option.min is None or option.min <= default
