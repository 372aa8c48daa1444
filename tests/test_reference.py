"""Public names: each has a docstring with an example that runs, and is in the reference."""

import ast
import doctest
import enum
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from pathlib import Path

import concordance_sdk
import concordance_shared
import pytest
from concordance_sdk.registry import collecting
from concordance_shared import EngineError, ModError, RequestError

PAGE = (Path(__file__).parent.parent / "docs" / "reference.md").read_text("utf-8")
MODULES = [
    module.name
    for package in (concordance_shared, concordance_sdk)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]
PACKAGES = [
    "concordance_shared",
    "concordance_sdk",
    *(name for name in MODULES if hasattr(importlib.import_module(name), "__all__")),
]
NAMES = [(package, name) for package in PACKAGES for name in sys.modules[package].__all__]


def tree_of(module):
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def constants_with_docs():
    """Names that a module assigns, by the string literal after them: docstrings of constants."""
    found = {}
    for module in MODULES:
        body = tree_of(module).body
        for statement, following in itertools.pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if isinstance(targets[0], ast.Name) and is_text:
                found[targets[0].id] = following.value.value
    return found


CONSTANTS = constants_with_docs()


def is_code(value):
    return inspect.isfunction(value) or inspect.isclass(value)


def doc_of(package, name):
    value = getattr(importlib.import_module(package), name)
    return CONSTANTS.get(name) or (inspect.getdoc(value) if is_code(value) else None) or ""


def is_leaf_of_errors(value):
    """True for an error class whose parent already has an example."""
    roots = (EngineError, ModError, RequestError)
    return inspect.isclass(value) and issubclass(value, roots) and value not in roots


def public_functions():
    """Public functions and methods, with the docstrings that may describe them."""
    for package, name in NAMES:
        value = getattr(importlib.import_module(package), name)
        if inspect.isfunction(value):
            yield name, value, inspect.getdoc(value) or ""
        elif inspect.isclass(value):
            for key, member in vars(value).items():
                function = member.fget if isinstance(member, property) else member
                is_made = key in {"__init__", "__post_init__", "__getitem__"}
                is_ours = str(getattr(function, "__module__", "")).startswith("concordance")
                if is_ours and inspect.isfunction(function) and (is_made or key[0] != "_"):
                    documented = (inspect.getdoc(value) or "") if key.startswith("__") else ""
                    yield f"{name}.{key}", function, f"{function.__doc__ or ''}\n{documented}"


@pytest.mark.parametrize("name", MODULES)
def test_doctests_of_a_module_pass(name):
    with collecting():
        assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_has_a_docstring(package, name):
    assert doc_of(package, name)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_has_an_example(package, name):
    value = getattr(importlib.import_module(package), name)

    if is_code(value) and name not in CONSTANTS and not is_leaf_of_errors(value):
        assert ">>>" in doc_of(package, name)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_field_is_in_the_docstring(package, name):
    value = getattr(importlib.import_module(package), name)
    fields = getattr(value, "__struct_fields__", ()) if inspect.isclass(value) else ()
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        fields = tuple(value.__members__)
    inherited = getattr(value.__base__, "__struct_fields__", ()) if fields else ()

    documented = doc_of(package, name)
    assert [
        f for f in fields if f not in inherited and not re.search(rf"\b{f}\b", documented)
    ] == []


def test_every_public_method_has_a_docstring():
    assert [name for name, function, _ in public_functions() if not function.__doc__] == []


def test_every_function_that_raises_has_a_raises_section():
    def raises(function):
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
        return any(isinstance(node, ast.Raise) for node in ast.walk(tree))

    silent = [
        name
        for name, function, documented in public_functions()
        if raises(function) and "Raises:" not in documented
    ]
    assert silent == []


def test_sections_of_examples_are_named_examples():
    """The site renders `Example:` as a quotation."""
    for module in MODULES:
        source = inspect.getsource(importlib.import_module(module))
        assert not re.search(r"^\s+Example:$", source, re.MULTILINE), module


def test_reference_lists_every_public_name():
    assert [f"{package}.{name}" for package, name in NAMES if f"[`{name}`](" not in PAGE] == []
