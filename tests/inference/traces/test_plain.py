"""Values of mods as plain data."""

import json
from dataclasses import dataclass

import msgspec
import pytest
from concordance_inference.traces.plain import plain


@dataclass
class Point:
    x: int


class Named(msgspec.Struct):
    name: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        ({1: "a"}, {"1": "a"}),
        (Point(3), {"x": 3}),
        (Named("n"), {"name": "n"}),
        ({"deep": [Point(1)]}, {"deep": [{"x": 1}]}),
    ],
)
def test_values_that_json_has_are_data(value, expected):
    found = plain(value)

    assert json.loads(json.dumps(found)) == expected


def test_other_values_are_shown_as_python_writes_them_up_to_a_length():
    assert plain(object).startswith("<class")
    assert plain({"f": len}) == "{'f': <built-in function len>}"
    assert len(plain([object(), "x" * 5000])) == 1000
