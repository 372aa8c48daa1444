"""The data of a report: what can be sent, and the copy that is made of it."""

from types import MappingProxyType

import numpy as np
import pytest
from concordance_shared.reports import report_data_from


def _lists(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def test_report_data_is_copied():
    rows = [1]
    data = report_data_from({"rows": rows})
    rows.append(2)

    assert data == {"rows": [1]}


def test_report_data_becomes_plain_json_values():
    data = {
        "tuple": (1, 2),
        "keys": {3: "c"},
        "mapping": MappingProxyType({"a": None}),
        "scalar": np.float32(0.5),
        "array": np.arange(3),
        "flag": np.bool_(True),
        "text": "é 😀",
        "large": 10**30,
    }

    assert report_data_from(data) == {
        "tuple": [1, 2],
        "keys": {"3": "c"},
        "mapping": {"a": None},
        "scalar": 0.5,
        "array": [0, 1, 2],
        "flag": True,
        "text": "é 😀",
        "large": 10**30,
    }


CIRCLE = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        b"bytes",
        object(),
        float("inf"),
        np.array([float("nan")]),
        "\ud800",
        {(1, 2): 3},
        CIRCLE,
        _lists(101),
        _lists(100_000),
    ],
    ids=range(10),
)
def test_value_that_is_not_json_is_rejected_with_its_key(value):
    with pytest.raises(ValueError, match="its 'bad' is not JSON"):
        report_data_from({"good": 1, "bad": value})


def test_report_data_may_be_nested_up_to_the_limit():
    assert report_data_from({"deep": _lists(99)}) == {"deep": _lists(99)}


def test_brackets_in_strings_are_not_nesting():
    assert report_data_from({"text": "[" * 500}) == {"text": "[" * 500}
