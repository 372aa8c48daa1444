"""The check of the packages' structure finds circles and large classes, and the figures hold."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def _loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


structure = _loaded(ROOT / ".ci" / "structure.py")


def faults(tmp_path, **modules):
    """The faults of a package with these modules."""
    source = tmp_path / "shared" / "src"
    source.mkdir(parents=True)
    for name, text in modules.items():
        (source / f"{name}.py").write_text(text)
    return structure.measure(tmp_path)[1]


def test_repository_has_no_structural_fault():
    figures, found = structure.measure(ROOT)

    assert found == [], figures


def test_import_circle_is_found_even_inside_a_function(tmp_path):
    one = "import two\n"
    two = "def f():\n    from one import x\n    return x\n"

    assert faults(tmp_path, one=one, two=two) == ["circle of imports: one <-> two"]


def test_imports_for_type_checking_make_no_circle(tmp_path):
    one = "import two\n\n\ndef f():\n    return two\n"
    two = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import one\n"

    assert faults(tmp_path, one=one, two=two) == []


def test_class_with_too_many_methods_is_found_without_counting_operators(tmp_path):
    methods = "".join(f"    def m{i}(self):\n        return {i}\n" for i in range(21))
    operators = "    def __add__(self, other):\n        return other\n"

    assert faults(tmp_path, big=f"class Big:\n{methods}{operators}") == [
        "big.Big: 21 methods, at most 20"
    ]


def test_long_bodies_are_found(tmp_path):
    long = "def f():\n" + "    x = 1\n" * 30

    assert faults(tmp_path, long=long) == ["bodies: at most 8 / 25 lines (median / p90)"]


def test_modules_without_a_test_file_of_their_name_are_counted(tmp_path):
    (tmp_path / "shared" / "src" / "one").mkdir(parents=True)
    for name in ("__init__", "tested", "untested"):
        (tmp_path / "shared" / "src" / "one" / f"{name}.py").touch()
    (tmp_path / "tests" / "deep").mkdir(parents=True)
    (tmp_path / "tests" / "deep" / "test_tested.py").touch()

    assert structure.without_mirror(tmp_path) == ["one.untested"]
    assert structure.measure(tmp_path)[0]["modules without a test file of their name"] == 1
