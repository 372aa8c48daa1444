"""Plain and full names of modules, and what an import refers to."""

import pytest
from concordance_inference.mods.module_names import ModuleNames, module_name, with_plain_names

FILES = {"pack/__init__.py": "", "pack/words.py": "", "folder/leaf.py": "", "top.py": ""}


def test_full_and_plain_names_round_trip():
    names, others = ModuleNames(FILES), ModuleNames(FILES)

    full = names.full("pack.words")

    assert names.plain(full) == "pack.words"
    assert others.plain(full) is None
    assert with_plain_names(f"No module named '{full}'") == "No module named 'pack.words'"


@pytest.mark.parametrize(
    ("path", "name"),
    [("top.py", "top"), ("pack/words.py", "pack.words"), ("pack/__init__.py", "pack")],
)
def test_module_name_of_a_path(path, name):
    assert module_name(path) == name


def test_entry_names_leave_out_the_modules_of_regular_packages():
    assert ModuleNames(FILES).entry_names == ("folder.leaf", "pack", "top")


@pytest.mark.parametrize(
    ("name", "resolved"),
    [
        ("top", "top"),
        ("folder.leaf", "folder.leaf"),
        ("json", None),
        ("numpy.linalg", None),
        ("folder.nowhere", None),
    ],
)
def test_resolve_absolute_imports(name, resolved):
    assert ModuleNames(FILES).resolve(name) == resolved


@pytest.mark.parametrize("name", ["pack.nowhere", "top.nowhere"])
def test_a_missing_module_of_an_own_package_is_not_searched_elsewhere(name):
    with pytest.raises(ModuleNotFoundError, match=name):
        ModuleNames(FILES).resolve(name)


def test_modules_of_the_home_package_resolve_without_its_name():
    names = ModuleNames({"examples/air/words.py": ""}, home="examples.air")

    assert names.resolve("words") == "examples.air.words"
