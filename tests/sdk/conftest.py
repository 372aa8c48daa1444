"""Restores the registry of mods after each test."""

import pytest
from concordance_sdk.registry import registry


@pytest.fixture(autouse=True)
def _registry_as_it_was():
    before = dict(registry._definitions)
    yield
    registry._definitions = before
