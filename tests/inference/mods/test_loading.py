"""Loading mods from files, folders, packages and uploads."""

import pytest
from concordance_inference.mods.loading import (
    load_entry_points,
    load_path,
    load_payload,
)
from concordance_sdk import ModPayload
from concordance_sdk.host import registry
from concordance_shared import ModLoadError

GREET = """
from concordance_sdk import mod

@mod
def greet(event, actions):
    '''Hello.'''
"""


def payload(**fields):
    return ModPayload(**{"name": "greet", "entrypoint": "greet", "source": GREET, **fields})


def test_the_mods_of_a_file_are_loaded(tmp_path):
    (tmp_path / "a.py").write_text(GREET)

    definitions, version = load_path(tmp_path / "a.py")

    assert [d.name for d in definitions] == ["greet"]
    assert f"{tmp_path}/a.py:4" in definitions[0].where
    assert len(version) == 12


def test_a_folder_is_loaded_with_packages_and_without_tests(tmp_path):
    (tmp_path / "a.py").write_text(GREET)
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from pack import inner")
    (tmp_path / "pack" / "inner.py").write_text(GREET.replace("greet", "part"))
    (tmp_path / "test_a.py").write_text("raise RuntimeError")

    definitions, _ = load_path(tmp_path)

    assert sorted(d.name for d in definitions) == ["greet", "part"]


def test_loaded_mods_are_not_added_to_the_global_registry(tmp_path):
    (tmp_path / "a.py").write_text(GREET.replace("greet", "only_here"))
    load_path(tmp_path / "a.py")

    assert registry.get("only_here") is None


def test_a_missing_path_of_mods_is_an_error(tmp_path):
    with pytest.raises(ModLoadError, match="no file or folder"):
        load_path(tmp_path / "nowhere")


def test_the_builtin_mods_are_entry_points():
    assert {d.name for d in load_entry_points()} >= {"greeting", "replace", "avoid", "json_schema"}


def install(folder, package, source):
    """Make a package with an entry point for its mods, as an installer does."""
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[concordance.mods]\n{package} = {package}\n")


def test_the_mods_of_an_installed_package_are_loaded(tmp_path, monkeypatch):
    install(tmp_path, "acme_mods_a", GREET.replace("greet", "acme_greet"))
    monkeypatch.syspath_prepend(tmp_path)

    assert "acme_greet" in {d.name for d in load_entry_points()}


def test_a_package_that_cannot_be_imported_is_an_error_with_its_entry_point(tmp_path, monkeypatch):
    install(tmp_path, "acme_mods_b", "import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModLoadError, match=r"entry point 'acme_mods_b'.*no_such_package"):
        load_entry_points()


def test_two_packages_with_a_mod_of_one_name_are_an_error_that_names_both(tmp_path, monkeypatch):
    for package in ("acme_mods_c", "acme_mods_d"):
        install(tmp_path, package, GREET.replace("greet", "acme_twin"))
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(
        ModLoadError, match=r"two installed packages define a mod 'acme_twin': .*_[cd].*_[cd]"
    ):
        load_entry_points()


def test_an_upload_of_one_module_is_loaded():
    definition, version = load_payload(payload(name="hello"))

    assert (definition.name, definition.doc) == ("hello", "Hello.")
    assert version


def test_an_upload_of_several_files_is_loaded():
    files = {"pack/a.py": f"from pack.words import W\n{GREET}", "pack/words.py": "W = 1"}

    definition, _ = load_payload(payload(source=None, files=files, module="pack.a"))

    assert definition.name == "greet"


def test_a_function_without_the_decorator_can_be_uploaded():
    source = "def plain(event, actions): ..."

    assert load_payload(payload(source=source, entrypoint="plain"))[0].name == "greet"


@pytest.mark.parametrize(
    "source", ["1 / 0", "def (", "import sys; sys.exit()", "greet = 3", "\0", "(" * 100_000]
)
def test_an_upload_that_raises_while_loading_is_rejected(source):
    with pytest.raises(ModLoadError, match="'greet'"):
        load_payload(payload(source=source))
