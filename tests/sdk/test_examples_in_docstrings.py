"""The examples in the SDK's docstrings run, and whoever imports a name finds one."""

import doctest
import importlib
import pkgutil

import concordance_sdk
import concordance_sdk.constraints
import concordance_sdk.flow
import concordance_sdk.ready
import concordance_sdk.self_prompt
import concordance_sdk.testing
import concordance_sdk.text
import concordance_shared
import pytest
from concordance_sdk.registry import collecting

MODULES = [
    module.name
    for package in (concordance_shared, concordance_sdk)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]
WITH_EXAMPLES = [
    concordance_sdk.constraints,
    concordance_sdk.flow,
    concordance_sdk.ready,
    concordance_sdk.self_prompt,
    concordance_sdk.testing,
    concordance_sdk.text,
]


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
