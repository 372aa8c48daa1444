"""What a package exports is what its `__all__` says."""

import concordance_sdk
import concordance_sdk.testing
import concordance_shared
import pytest


@pytest.mark.parametrize("package", [concordance_shared, concordance_sdk, concordance_sdk.testing])
def test_every_name_in_all_is_there_and_sorted(package):
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)
