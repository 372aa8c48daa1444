"""Texts that UTF-8 cannot encode."""

import pytest
from concordance_shared import Message
from concordance_shared.surrogates import surrogate_fault


@pytest.mark.parametrize(
    "value",
    [
        "b\ud800",
        ["a", "b\udfff"],
        {"key": {"b\ud800"}},
        {"b\ud83d": 1},
        Message(role="user", content="b\ud800"),
    ],
)
def test_half_of_a_pair_is_found_anywhere_in_a_value(value):
    fault = surrogate_fault(value)

    assert fault is not None
    assert fault.startswith("character 1 is '\\ud")


@pytest.mark.parametrize(
    "value", ["", "\U0001f600", None, 3, float("nan"), object(), {object(): 1}]
)
def test_other_values_have_no_fault(value):
    assert surrogate_fault(value) is None


def test_a_value_that_contains_itself_has_no_fault():
    loop = []
    loop.append(loop)

    assert surrogate_fault(loop) is None
