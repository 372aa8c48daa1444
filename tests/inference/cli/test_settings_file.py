"""The file of settings is found in a fixed order, and its faults are named with their place."""

import pytest
from concordance_inference.cli.settings_file import SettingsError, find_file, usual_places


@pytest.fixture(name="places", autouse=True)
def _places(tmp_path, monkeypatch):
    """A file of settings in each place, which sets `model` to the name of the place."""
    (tmp_path / "work").mkdir()
    (tmp_path / "xdg" / "concordance").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    places = {
        "flag": tmp_path / "flag.toml",
        "variable": tmp_path / "variable.toml",
        "work": tmp_path / "work" / "concordance.toml",
        "xdg": tmp_path / "xdg" / "concordance" / "concordance.toml",
    }
    for name, path in places.items():
        path.write_text(f'model = "{name}"\n')
    return places


def found(places, given=None, **environ):
    folder = places["xdg"].parents[1]
    return find_file(given, {"XDG_CONFIG_HOME": str(folder), **environ}).values.get("model")


def test_flag_wins_over_the_variable_over_the_working_folder_over_xdg(places):
    variable = str(places["variable"])

    assert found(places, places["flag"], CONCORDANCE_CONFIG=variable) == "flag"
    assert found(places, CONCORDANCE_CONFIG=variable) == "variable"
    assert found(places) == "work"
    places["work"].unlink()
    assert found(places) == "xdg"
    places["xdg"].unlink()
    assert found(places) is None


def test_usual_places_without_xdg_are_the_working_folder_and_dot_config(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    assert usual_places({}) == [
        tmp_path / "work" / "concordance.toml",
        tmp_path / ".config" / "concordance" / "concordance.toml",
    ]


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_named_file_that_is_missing_is_an_error(how, tmp_path):
    missing = tmp_path / "no.toml"
    named = {"CONCORDANCE_CONFIG": str(missing)} if how == "variable" else {}

    with pytest.raises(SettingsError, match=r"names .*no\.toml, which cannot be read: No such"):
        find_file(missing if how == "flag" else None, named)


def test_empty_file_turns_the_usual_files_off(places, tmp_path):
    (tmp_path / "empty.toml").touch()

    assert found(places, tmp_path / "empty.toml") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"port = \n", "not TOML: .*line 1"),
        (b"\xff", "not UTF-8"),
        (b"a = 1\na = 2\n# x", "line 2"),
    ],
)
def test_file_that_is_not_toml_is_an_error_with_its_line(places, content, words):
    places["flag"].write_bytes(content)

    with pytest.raises(SettingsError, match=rf"flag\.toml.*{words}"):
        find_file(places["flag"])


def test_lines_of_keys_and_tables_are_known(places):
    places["flag"].write_text("# a\nmodel = 'x'\n\n[serve]  # b\nport = 1\nmax_rows=2\n")
    file = find_file(places["flag"])

    assert file.place("", "model").endswith("flag.toml:2")
    assert file.place("serve", "").endswith("flag.toml:4")
    assert file.place("serve", "max_rows").endswith("flag.toml:6")
    assert file.place("serve", "other").endswith("flag.toml")
