"""Errors for mods that cannot be loaded."""

import sys

import pytest
from concordance_inference.mods.loading import load_path
from concordance_shared import ModLoadError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def (", ["invalid syntax", "a.py", "line 1"]),
        ("1 / 0", ["ZeroDivisionError", "a.py", "line 1"]),
        ("import sys; sys.exit(3)", ["SystemExit"]),
        ("x = 1", ["defines no mod"]),
        ("def plain(run):\n    yield run.stop()", ["defines no mod", "mark `plain` with @mod"]),
        ("from concordance_sdk import mod\n@mod\ndef f(event): ...", ["(event, actions)", "'f'"]),
        ("import nowhere", ["ModuleNotFoundError", "nowhere", "a.py, line 1"]),
    ],
)
def test_the_error_for_a_file_that_cannot_be_loaded_has_cause_and_location(tmp_path, text, words):
    (tmp_path / "a.py").write_text(text)

    with pytest.raises(ModLoadError) as caught:
        load_path(tmp_path / "a.py")

    for word in words:
        assert word in caught.value.message


def write(folder, **files):
    for path, text in files.items():
        target = folder / (path.replace("__", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from .state import S", ["load the folder", "mod.py, line 1"]),
        ("from state import S", ["state is in the file's folder", "load the folder", "line 1"]),
        ("import state.deep", ["state is in the file's folder"]),
        ("import not_installed_at_all", ["install 'not_installed_at_all'", "line 1"]),
        ("from quote_mod_sdk import mod\nimport quote_mod_sdk.nowhere", ["line 2", "nowhere"]),
        ("import json.nowhere", ["json.nowhere"]),
    ],
)
def test_the_error_for_a_failed_import_suggests_a_fix(tmp_path, text, words):
    write(tmp_path, mod=text, state="S = 1")
    with pytest.raises(ModLoadError) as caught:
        load_path(tmp_path / "mod.py")

    for word in words:
        assert word in caught.value.message
    assert "@" not in caught.value.message


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads it")
@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("x = f\"{d[\"a\"]}\"", "3.12"),
        ("type X = int", "3.12"),
        ("def f[T](x: T): ...", "3.12"),
        ("class A[T]: ...", "3.12"),
    ],
)  # fmt: skip
def test_the_error_for_newer_syntax_names_the_python_version(tmp_path, line, needs):
    (tmp_path / "a.py").write_text(f"d = {{'a': 1}}\n{line}\n")

    with pytest.raises(ModLoadError, match=rf"a\.py, line 2\).* need Python {needs}"):
        load_path(tmp_path / "a.py")
