"""Every name in a package's `__all__` exists, once."""

import concordance_sdk
import concordance_sdk.builtin
import concordance_sdk.constraints
import concordance_sdk.flow
import concordance_sdk.self_prompt
import concordance_sdk.testing
import concordance_sdk.text
import concordance_shared
import pytest

PACKAGES = [
    concordance_shared,
    concordance_sdk,
    concordance_sdk.builtin,
    concordance_sdk.constraints,
    concordance_sdk.flow,
    concordance_sdk.self_prompt,
    concordance_sdk.testing,
    concordance_sdk.text,
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_exported_name_exists_once(package):
    assert len(package.__all__) == len(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
