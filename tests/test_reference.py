"""The reference: every public name is explained, shown at work, and listed."""

import ast
import doctest
import enum
import importlib
import importlib.util
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
DIRECTIVE = re.compile(r"^::: (\S+)\n(?: {4}.*\n?)*", re.MULTILINE)
MEMBERS = re.compile(r"members: \[([^\]]*)\]")


def tree_of(module):
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def constants_with_docs():
    """Names that a module assigns, with a string behind them: what the site shows of constants."""
    found = {}
    for module in MODULES:
        body = tree_of(module).body
        for statement, behind in itertools.pairwise(body):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            is_text = isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant)
            if isinstance(targets[0], ast.Name) and is_text:
                found[targets[0].id] = behind.value.value
    return found


CONSTANTS = constants_with_docs()


def is_code(value):
    return inspect.isfunction(value) or inspect.isclass(value)


def doc_of(package, name):
    value = getattr(importlib.import_module(package), name)
    return CONSTANTS.get(name) or (inspect.getdoc(value) if is_code(value) else None) or ""


def is_leaf_of_errors(value):
    """An error that differs from its parent, which has an example, in what it is for alone."""
    roots = (EngineError, ModError, RequestError)
    return inspect.isclass(value) and issubclass(value, roots) and value not in roots


def public_functions():
    """Functions and methods that users reach, and where their docstrings may be."""
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
                    told = (inspect.getdoc(value) or "") if key.startswith("__") else ""
                    yield f"{name}.{key}", function, f"{function.__doc__ or ''}\n{told}"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    with collecting():
        assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_is_explained(package, name):
    assert doc_of(package, name)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_is_shown_at_work(package, name):
    value = getattr(importlib.import_module(package), name)

    if is_code(value) and name not in CONSTANTS and not is_leaf_of_errors(value):
        assert ">>>" in doc_of(package, name)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_field_is_explained(package, name):
    value = getattr(importlib.import_module(package), name)
    fields = getattr(value, "__struct_fields__", ()) if inspect.isclass(value) else ()
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        fields = tuple(value.__members__)
    inherited = getattr(value.__base__, "__struct_fields__", ()) if fields else ()

    told = doc_of(package, name)
    assert [f for f in fields if f not in inherited and not re.search(rf"\b{f}\b", told)] == []


def test_every_public_method_is_explained():
    assert [name for name, function, _ in public_functions() if not function.__doc__] == []


def test_what_raises_says_so():
    def raises(function):
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
        return any(isinstance(node, ast.Raise) for node in ast.walk(tree))

    silent = [
        name
        for name, function, told in public_functions()
        if raises(function) and "Raises:" not in told
    ]
    assert silent == []


def test_examples_are_headed_as_the_site_shows_code():
    """Google's `Example:` would become a quotation there."""
    for module in MODULES:
        source = inspect.getsource(importlib.import_module(module))
        assert not re.search(r"^\s+Example:$", source, re.MULTILINE), module


def listed():
    """The objects that the page's directives show. A module hides what has its name."""
    for directive in DIRECTIVE.finditer(PAGE):
        module = importlib.import_module(directive[1])
        members = MEMBERS.search(directive[0])
        names = re.findall(r"\w+", members[1]) if members else getattr(module, "__all__", ())
        for name in names:
            if not hasattr(module, "__path__") or not importlib.util.find_spec(
                f"{module.__name__}.{name}"
            ):
                yield getattr(module, name)


def test_the_reference_lists_every_public_name():
    shown = {id(value) for value in listed()}

    assert [
        f"{package}.{name}"
        for package, name in NAMES
        if id(getattr(importlib.import_module(package), name)) not in shown
    ] == []
