"""Modules of one source of mods, isolated from all others."""

import sys
import traceback

import pytest
from concordance_inference.mods.module_space import ModuleSpace


def space(**files):
    named = {path.replace("__slash__", "/") + ".py": text for path, text in files.items()}
    return ModuleSpace(named, place="here")


def test_a_module_is_loaded():
    assert space(a="x = 1").load("a").x == 1


def test_sibling_modules_import_each_other():
    assert space(a="from b import y", b="y = 2").load("a").y == 2


def test_packages_and_folders_without_init_are_importable():
    files = {
        "pack/__init__.py": "from pack.inner import z",
        "pack/inner.py": "z = 3",
        "folder/leaf.py": "from . import other\nw = other.w",
        "folder/other.py": "w = 4",
    }
    made = ModuleSpace(files, place="here")

    assert (made.load("pack").z, made.load("folder.leaf").w) == (3, 4)
    assert made.module_names == ("folder.leaf", "folder.other", "pack", "pack.inner")


def test_imports_inside_functions_resolve_after_loading():
    late = "def f():\n    {0}\n    return {1}\n"
    made = space(
        a=late.format("from b import y", "y"),
        b="y = 2",
        pack__slash____init__="",
        pack__slash__c=late.format("from . import d", "d.z"),
        pack__slash__d="import json\nz = json.loads('3')",
        e=late.format("import pack.d", "pack.d.z"),
    )
    before = set(sys.modules)

    assert [made.load(name).f() for name in ("a", "pack.c", "e")] == [2, 3, 3]
    assert made.load("a").f() == 2
    assert set(sys.modules) == before


def test_circular_imports_work():
    made = space(a="import b\nx = 1\ndef f(): return b.y", b="import a\ny = 2")

    assert made.load("a").f() == 2


def test_loading_leaves_sys_modules_and_meta_path_unchanged():
    before = set(sys.modules), list(sys.meta_path)
    space(some_mod_a="import some_mod_b", some_mod_b="").load("some_mod_a")

    assert (set(sys.modules), list(sys.meta_path)) == before


def test_modules_of_the_same_name_in_two_spaces_are_isolated():
    one = space(a="from words import w", words="w = 1").load("a")
    two = space(a="from words import w", words="w = 2").load("a")

    assert (one.w, two.w) == (1, 2)


def test_a_module_named_like_an_installed_one_hides_it_only_in_its_space():
    import json

    assert space(json="mine = True").load("json").mine
    assert sys.modules["json"] is json


def test_a_module_that_raises_leaves_sys_modules_unchanged():
    before = set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        space(some_mod_c="1 / 0").load("some_mod_c")

    assert set(sys.modules) == before


def test_tracebacks_show_the_source_line():
    try:
        space(a="def f():\n    1 / 0  # here\n").load("a").f()
    except ZeroDivisionError as exc:
        shown = "".join(traceback.format_exception(exc))

    assert 'File "here/a.py", line 2' in shown
    assert "# here" in shown


def test_the_version_depends_on_the_source_only():
    assert space(a="x = 1").version == space(a="x = 1").version
    assert space(a="x = 1").version != space(a="x = 2").version != space(b="x = 2").version


def test_parent_folders_of_a_module_are_packages():
    files = {"a/b/c/leaf.py": "from a.b.other import x\nfrom a.d import y", "a/b/other.py": "x = 1"}
    made = ModuleSpace({**files, "a/d.py": "y = 2"}, place="here").load("a.b.c.leaf")

    assert (made.x, made.y) == (1, 2)


def test_a_module_has_a_file_and_a_unique_full_name():
    made = space(a="import sys\nhere = sys.modules[__name__]\nx = 1").load("a")

    assert made.__file__ == "here/a.py"
    assert made.here is made
    assert made.__name__.startswith("a@")
    assert made.__name__ not in sys.modules


@pytest.mark.parametrize(
    "line",
    [
        "import importlib\nb = importlib.import_module('b')",
        "from importlib import import_module\nb = import_module('b')",
        "b = __import__('b')",
        "import importlib.util, importlib\nb = importlib.import_module('b')",
        "from pack import b",
        "import importlib\nb = importlib.import_module('.b', 'pack')\n",
        "import importlib, pack\nb = importlib.import_module('.b', pack.__name__)\n",
    ],
)
def test_dynamic_imports_find_modules_of_the_space(line):
    made = space(a=f"def f():\n    {line.replace(chr(10), chr(10) + '    ')}\n    return b.x\n"
                 f"{line}\ny = b.x", b="x = 1", pack__slash__b="x = 1")  # fmt: skip

    assert (made.load("a").y, made.load("a").f()) == (1, 1)


def test_a_folder_does_not_hide_a_standard_library_module():
    files = {"a.py": "import json\nx = json.loads('1')", "json/data/b.py": ""}

    assert ModuleSpace(files, place="here").load("a").x == 1
