"""What a test defines with `@mod` is that test's affair."""

import pytest
from concordance_sdk.registry import registry


@pytest.fixture(autouse=True)
def _registry_as_it_was():
    before = dict(registry._definitions)
    yield
    registry._definitions = before
