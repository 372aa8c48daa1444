"""`CharsStrat`."""

import random
import re

import pytest
from concordance_sdk.constraints import CharsMode, CharsStrat, allows, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st
from wandering import wander

BYTES = ByteTokenizer()
KINDS = {
    CharsMode.ALPHA: str.isalpha,
    CharsMode.ALPHANUMERIC: str.isalnum,
    CharsMode.NUMERIC: lambda c: c in "0123456789",
}


@pytest.mark.parametrize("mode", KINDS)
@settings(deadline=None, max_examples=40)
@given(text=st.text(st.sampled_from("aZéß日9٣ _-½"), max_size=5))
def test_kind_and_number_of_characters_are_enforced(mode, text):
    expected = 2 <= len(text) <= 4 and all(map(KINDS[mode], text))

    assert allows(CharsStrat(mode, min=2, stop=4), text) == expected


@pytest.mark.parametrize(
    ("text", "is_string"),
    [("plain, text\n", True), ('a "quote"', False), (r"a \" quote", True), ("a \\", False)],
)
def test_quotes_and_backslashes_in_a_string_are_escaped(text, is_string):
    assert allows(CharsStrat(CharsMode.STRING, stop=20), text) == is_string


def test_escaped_character_counts_as_one():
    assert allows(CharsStrat(CharsMode.STRING, min=3, stop=3), r"\"\\a")


@pytest.mark.parametrize("mode", CharsMode)
def test_first_terminator_ends_it_and_is_not_in_the_answer(mode):
    constraint = CharsStrat(mode, stop=";;")
    some = "ab" if mode is CharsMode.ALPHA else "12"

    assert allows(constraint, f"{some};;")
    assert not allows(constraint, some)
    assert not allows(constraint, f"{some};;{some};;")
    assert constraint.answer(f"{some};;") == some


def test_terminator_may_consist_of_allowed_characters():
    constraint = CharsStrat(CharsMode.ALPHA, min=2, stop="end")

    assert allows(constraint, "blend")
    assert not allows(constraint, "end")
    assert not allows(constraint, "blendend")
    assert allows(constraint, "endend")  # at least two letters precede it


@settings(deadline=None, max_examples=60)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_js_float_is_a_json_number(number):
    text = repr(number).replace("e+", "e")
    constraint = CharsStrat(CharsMode.JS_FLOAT, stop="\n")

    assert allows(constraint, f"{text}\n")
    assert constraint.value(f"{text}\n") == number


@pytest.mark.parametrize("text", ["-", "1.", ".5", "01", "1e", "--1", "1.2.3", "+1", "", "1e5.0"])
def test_js_float_rejects_other_text(text):
    assert not allows(CharsStrat(CharsMode.JS_FLOAT, stop=20), text)


def test_length_of_a_js_float_is_enforced():
    constraint = CharsStrat(CharsMode.JS_FLOAT, min=3, stop=4)
    compiled = compile_constraint(constraint, BYTES)
    texts = {wander(compiled.start(), BYTES, random.Random(i)).text for i in range(40)}

    assert len(texts) > 20
    assert all(re.fullmatch(r"[-0-9.eE+]{3,4}", text) for text in texts)
    assert all(isinstance(constraint.value(text), float) for text in texts)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mode": "alpha", "stop": 3}, "NUMERIC"),
        ({"mode": CharsMode.ALPHA, "stop": 0}, "at least 1"),
        ({"mode": CharsMode.ALPHA, "stop": True}, "count"),
        ({"mode": CharsMode.ALPHA, "stop": ""}, "not be empty"),
        ({"mode": CharsMode.ALPHA, "stop": None}, "count"),
        ({"mode": CharsMode.ALPHA, "stop": 3, "min": -1}, "min"),
        ({"mode": CharsMode.ALPHA, "stop": 3, "min": 4}, "at least 4 and at most 3"),
    ],
)
def test_invalid_counts_are_rejected(fields, words):
    with pytest.raises(ConstraintError, match=words):
        CharsStrat(**fields)
