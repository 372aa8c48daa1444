"""Which value a setting has, where it comes from, and how a wrong one is refused."""

import contextlib
import math
from pathlib import Path

import pytest
from concordance_inference.cli import main  # adds the commands
from concordance_inference.cli.settings import COMMANDS
from concordance_inference.cli.settings_file import SettingsError, SettingsFile, find_file
from concordance_inference.cli.settings_values import _from_file, check_names, values_of

assert main.app


@pytest.fixture(name="write")
def _write(tmp_path):
    """Write a file of settings and read it."""

    def write(text):
        path = tmp_path / "concordance.toml"
        path.write_text(text)
        return find_file(path)

    return write


def value(name, file=None, command="serve", **environ):
    variables = {f"CONCORDANCE_{key}": text for key, text in environ.items()}
    return values_of(command, file or SettingsFile(), variables)[name]


def refusal(file=None, command="serve", **environ):
    variables = {f"CONCORDANCE_{key}": text for key, text in environ.items()}
    try:
        check_names(file or SettingsFile(), variables)
        values_of(command, file or SettingsFile(), variables)
    except SettingsError as exc:
        return str(exc)
    raise AssertionError("not refused")


def test_variables_win_over_the_file_over_the_default(write):
    file = write("port = 1\n[serve]\nport = 2\n")

    for expected, environ in [
        ((4, "CONCORDANCE_SERVE_PORT"), {"SERVE_PORT": "4", "PORT": "3"}),
        ((3, "CONCORDANCE_PORT"), {"PORT": "3", "SERVE_PORT": ""}),
    ]:
        found = value("port", file, **environ)
        assert (found.value, found.source) == expected
    assert value("port", file).value == 2
    assert value("port", file).source.endswith("concordance.toml:3")
    assert (value("port").value, value("port").source) == (8000, "default")


def test_key_outside_a_table_is_for_every_command_that_has_it(write):
    file = write('model = "m"\nmax_tokens = 9\n[chat]\nmax_tokens = 5\n')

    assert {value("model", file, command).value for command in ("chat", "demo")} == {"m"}
    assert value("model", file, "serve").value == ["m"]
    assert value("max_tokens", file, "generate").value == 9
    assert value("max_tokens", file, "chat").value == 5


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("KV_MEMORY", "1.5", 1.5),
        ("MLOCK", "true", True),
        ("MLOCK", "0", False),
        ("ADAPTIVE_CHUNKS", "false", False),
        ("SAMPLING_DEFAULTS", "openai", "openai"),
        ("MODS", "a.py", [Path("a.py")]),
        ("MODS", "a.py:b.py", [Path("a.py"), Path("b.py")]),
        ("MODS", '["a:b.py"]', [Path("a:b.py")]),
        ("MODEL", "8", ["8"]),
    ],
)
def test_text_of_a_variable_is_converted_to_the_type_of_the_option(name, text, expected):
    assert value(name.lower(), **{name: text}).value == expected


def test_list_in_a_variable_is_json_or_one_value():
    assert value("mod", command="generate", MOD="avoid:words=a, b").value == ["avoid:words=a, b"]
    assert value("mod", command="generate", MOD='["a","b"]').value == ["a", "b"]
    assert value("mod", command="generate", MOD="[a").value == ["[a"]


def test_paths_of_a_file_are_relative_to_its_folder(write, tmp_path):
    file = write('mods = ["m", "/x/y"]\nadapter_path = "~/a"\n')

    assert value("mods", file).value == [tmp_path / "m", Path("/x/y")]
    assert value("adapter_path", file).value == Path("~/a").expanduser()
    assert value("mods", write('mods = "m"')).value == [tmp_path / "m"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('port = "8000"', [":1: `port`: '8000' is not a whole number from 0 to 65535", "`int`"]),
        ("[serve]\nport = 70000", [":2: `port` in [serve]: 70000", "65535"]),
        ("mlock = 1", ["true or false"]),
        ("mods = [1]", ["a list, each item a path"]),
        ('sampling_defaults = "m"', ["one of 'model', 'openai'"]),
        ('adapter_path = ""', ["a path"]),
    ],
)
def test_wrong_type_in_a_file_is_refused_with_its_place(write, text, words):
    message = refusal(write(text))

    assert all(each in message for each in ["concordance.toml", *words]), message


def test_list_that_only_some_commands_take_belongs_into_their_table(write):
    file = write('model = ["a", "b"]')

    assert value("model", file, "serve").value == ["a", "b"]
    assert "write a list in [serve]" in refusal(file, "generate")


def test_wrong_value_of_a_variable_is_refused_with_its_name():
    assert refusal(PORT="x").startswith("CONCORDANCE_PORT: 'x' is not a whole number from 0 to 655")
    assert "`int`" in refusal(MAX_ROWS="0")


def test_variables_that_kubernetes_sets_are_explained():
    assert "enableServiceLinks: false" in refusal(PORT="tcp://10.0.0.1:8000")
    assert "enableServiceLinks: false" in refusal(SERVICE_HOST="10.0.0.1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_row = 1", [":1: unknown key 'max_row'; did you mean 'max_rows'"]),
        ("max-rows = 1", ["did you mean 'max_rows'?"]),
        ("[serve]\ntemperature = 1", [":2: unknown key 'temperature' in [serve]", "its keys are"]),
        ("[serv]\nport = 1", [":1: unknown table [serv]; did you mean 'serve'?"]),
        ("serve = 1", ["write a table [serve]"]),
        ("tokens = 1", ["differs from command to command", "`tokens` in [bench]"]),
        ("zzz = 1", ["`concordance config` lists all settings"]),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_name(write, text, words):
    message = refusal(write(text))

    assert all(each in message for each in words), message


def test_unknown_variable_is_refused_with_the_nearest_name():
    assert "did you mean 'CONCORDANCE_MAX_ROWS' or" in refusal(MAX_ROW="1")
    assert "CONCORDANCE_BENCH_TOKENS" in refusal(TOKENS="1")
    check_names(SettingsFile(), {"CONCORDANCE_CACHE": "x", "CONCORDANCE_CONFIG": "", "PATH": "x"})


def test_values_of_secrets_are_not_in_errors(write, monkeypatch):
    from concordance_inference.cli.settings import Setting

    monkeypatch.setattr(Setting, "is_secret", True)

    assert "sesame" not in refusal(PORT="sesame")
    assert "sesame" not in refusal(write("port = 'sesame'"))


@pytest.mark.parametrize("given", ["1e400", "[[1]]", '"\\u0000"', "2024-01-01", "{a = 1}", "nan"])
def test_every_setting_accepts_or_refuses_every_type_of_toml(given, write):
    for command, settings in COMMANDS.items():
        file = write(f"[{command}]\n" + "".join(f"{name} = {given}\n" for name in settings))
        for setting in settings.values():
            with contextlib.suppress(SettingsError):
                found = _from_file(setting, file)
                assert found.value == math.inf, (setting, found)  # where there is no maximum


def test_null_character_is_refused(write):
    assert "`model`" in refusal(write('model = "a\\u0000"'))
    assert "\udcff" in value("model", MODEL="\udcff").value
