"""The examples in the SDK's docstrings run, and say what they print."""

import doctest
import importlib
import pkgutil

import concordance_sdk
import concordance_shared
import pytest

MODULES = [
    info.name
    for package in (concordance_shared, concordance_sdk)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    results = doctest.testmod(importlib.import_module(name))

    assert results.failed == 0
