"""Mods from files, folders, packages and uploads."""

import pytest
from concordance_inference.mods.loading import (
    MAX_SOURCE_LENGTH,
    load_entry_points,
    load_path,
    load_payload,
)
from concordance_sdk import ModPayload, registry
from concordance_shared import InvalidRequestError, ModLoadError

GREET = """
from concordance_sdk import mod

@mod
def greet(event, actions):
    '''Hello.'''
"""


def payload(**fields):
    return ModPayload(**{"name": "greet", "entrypoint": "greet", "source": GREET, **fields})


def test_a_file(tmp_path):
    (tmp_path / "a.py").write_text(GREET)

    definitions, version = load_path(tmp_path / "a.py")

    assert [d.name for d in definitions] == ["greet"]
    assert f"{tmp_path}/a.py:4" in definitions[0].where
    assert len(version) == 12


def test_a_folder_with_packages_and_without_its_tests(tmp_path):
    (tmp_path / "a.py").write_text(GREET)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from pack import inner")
    (tmp_path / "pack" / "inner.py").write_text(GREET.replace("greet", "part"))
    (tmp_path / "test_a.py").write_text("raise RuntimeError")

    definitions, _ = load_path(tmp_path)

    assert sorted(d.name for d in definitions) == ["greet", "part"]


def test_what_is_loaded_is_not_registered_for_everybody(tmp_path):
    (tmp_path / "a.py").write_text(GREET.replace("greet", "only_here"))
    load_path(tmp_path / "a.py")

    assert registry.get("only_here") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (", ["invalid syntax", "a.py", "line 1"]),
        ("1 / 0", ["ZeroDivisionError", "a.py", "line 1"]),
        ("import sys; sys.exit(3)", ["SystemExit"]),
        ("x = 1", ["defines no mod"]),
        ("from concordance_sdk import mod\n@mod\ndef f(event): ...", ["(event, actions)", "'f'"]),
        ("import nowhere", ["ModuleNotFoundError", "nowhere", "a.py, line 1"]),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why_and_where(tmp_path, text, words):
    (tmp_path / "a.py").write_text(text)

    with pytest.raises(ModLoadError) as caught:
        load_path(tmp_path / "a.py")

    for word in words:
        assert word in caught.value.message


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ModLoadError, match="no file or folder"):
        load_path(tmp_path / "nowhere")


def test_the_mods_that_come_with_the_engine_are_entry_points():
    assert {d.name for d in load_entry_points()} >= {"greeting", "replace", "avoid", "sentences"}


def test_an_upload_of_one_module():
    definition, version = load_payload(payload(name="hello"))

    assert (definition.name, definition.doc) == ("hello", "Hello.")
    assert version


def test_an_upload_of_a_folder():
    files = {"pack/a.py": f"from pack.words import W\n{GREET}", "pack/words.py": "W = 1"}

    definition, _ = load_payload(payload(source=None, files=files, module="pack.a"))

    assert definition.name == "greet"


def test_a_bare_function_may_be_uploaded():
    source = "def plain(event, actions): ..."

    assert load_payload(payload(source=source, entrypoint="plain"))[0].name == "greet"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "No Good"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"language": "lua"}, "language"),
        ({"module": "no-module"}, "module"),
        ({"source": None}, "source"),
        ({"files": {}}, "source"),
        ({"source": None, "files": {"../a.py": ""}}, "files"),
        ({"source": None, "files": {"/a.py": ""}}, "files"),
        ({"source": None, "files": {"a.txt": ""}}, "files"),
        ({"source": "#" * (MAX_SOURCE_LENGTH + 1)}, "source"),
        ({"entrypoint": "nowhere"}, "entrypoint"),
    ],
)
def test_a_malformed_upload_names_the_field(fields, param):
    with pytest.raises(InvalidRequestError) as caught:
        load_payload(payload(**fields))

    assert caught.value.param == param


@pytest.mark.parametrize(
    "source", ["1 / 0", "def (", "import sys; sys.exit()", "greet = 3", "\0", "(" * 100_000]
)
def test_an_upload_that_cannot_be_run_is_refused(source):
    with pytest.raises(ModLoadError, match="'greet'"):
        load_payload(payload(source=source))
