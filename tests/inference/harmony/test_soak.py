"""A short run of `harmony_soak`."""

import pytest
from harmony_soak import KINDS, Soak


@pytest.mark.slow
def test_random_completions_have_no_malformed_header_and_the_library_parses_all_of_them():
    soak = Soak(seed=7)
    soak.run(0, 7 * len(KINDS))

    assert soak.faults == []
    assert soak.counts["ended"]
    assert soak.counts["messages"] > 50
