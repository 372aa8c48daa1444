"""What a package exports is what its `__all__` says."""

import concordance_sdk
import concordance_sdk.constraints
import concordance_sdk.flow
import concordance_sdk.self_prompt
import concordance_sdk.testing
import concordance_shared
import pytest

PACKAGES = [
    concordance_shared,
    concordance_sdk,
    concordance_sdk.constraints,
    concordance_sdk.flow,
    concordance_sdk.self_prompt,
    concordance_sdk.testing,
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_in_all_is_there_and_sorted(package):
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
