"""The end of a JSON object in a text that comes in pieces, compared with the json module."""

import json

import pytest
from concordance_inference.tools.json_scan import JsonScan
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]"\\ a\u00e9\n'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('"\\}a'), inner, max_size=3)
    ),
    max_leaves=8,
)


def scanned(text, cuts):
    """The number of characters that belong to the object, and whether it is complete."""
    scan, total, begin = JsonScan(), 0, 0
    for end in [*sorted(cuts), len(text)]:
        total += scan.read(text[begin:end]) if end > begin else 0
        begin = max(begin, end)
    return total, scan.is_complete


@given(st.dictionaries(st.text('"\\{'), VALUES, max_size=3), st.booleans(), st.data())
def test_the_end_is_that_of_the_json_module_wherever_the_text_is_cut(value, is_ascii, data):
    written = json.dumps(value, ensure_ascii=is_ascii)
    text = written + data.draw(st.sampled_from(["", "}", ' {"a": 1}', "\\", '"']))
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=4))

    _, end = json.JSONDecoder().raw_decode(text)
    assert scanned(text, cuts) == (end, True)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=2), st.data())
def test_a_beginning_of_an_object_is_not_complete(value, data):
    written = json.dumps(value)
    length = data.draw(st.integers(1, len(written) - 1))

    assert scanned(written[:length], []) == (length, False)


@pytest.mark.parametrize("text", ["", "[1]", ' {"a": 1}', '"{}"', "a{}"])
def test_a_text_that_does_not_begin_an_object_has_none(text):
    assert scanned(text, []) == (0, False)
