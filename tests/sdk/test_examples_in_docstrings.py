"""The examples in the SDK's docstrings run, and whoever imports a name finds one."""

import doctest
import importlib
import pkgutil

import concordance_sdk
import concordance_sdk.constraints
import concordance_sdk.flow
import concordance_sdk.self_prompt
import pytest
from concordance_sdk.registry import collecting

MODULES = [
    module.name for module in pkgutil.walk_packages(concordance_sdk.__path__, "concordance_sdk.")
]
WITH_EXAMPLES = [concordance_sdk.constraints, concordance_sdk.flow, concordance_sdk.self_prompt]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    with collecting():
        assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("package", WITH_EXAMPLES, ids=lambda package: package.__name__)
def test_every_public_name_of_a_package_has_an_example(package):
    ours = [
        getattr(package, name)
        for name in package.__all__
        if getattr(package, name).__module__.startswith("concordance_sdk")
    ]

    assert ours
    assert [value.__name__ for value in ours if ">>>" not in (value.__doc__ or "")] == []
