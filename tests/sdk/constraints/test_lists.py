"""`ListStrat`."""

import random

import pytest
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    Grammar,
    JsonSchema,
    ListStrat,
    Regex,
    UntilEndType,
    UntilStrat,
    allows,
    compile_constraint,
)
from concordance_sdk.self_prompt import self_prompt_mod
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import ConstraintError
from wandering import wander

BYTES = ByteTokenizer()
WORD = CharsStrat(CharsMode.ALPHA, min=1, stop=6)
DIGITS = CharsStrat(CharsMode.NUMERIC, min=1, stop=3)
OBJECT = JsonSchema(
    {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
)


@pytest.mark.parametrize(
    ("fields", "yes", "no"),
    [
        ({}, ["", "a", "a, b"], ["a,b", "a, ", ", a"]),
        ({"min": 1}, ["a", "a, b"], [""]),
        ({"min": 2, "max": 3}, ["a, b", "a, b, c"], ["a", "a, b, c, d"]),
        ({"max": 1}, ["", "a"], ["a, b"]),
        ({"open": "[", "close": "]"}, ["[]", "[a]", "[a, b]"], ["[", "a]", "[a, ]"]),
        ({"wrap": "'", "min": 1}, ["'a'", "'a', 'b'"], ["a", "'a, b'"]),
        ({"sep": "\n", "min": 1}, ["a\nb"], ["a, b"]),
        ({"sep": "", "min": 1, "wrap": "|"}, ["|a||b|"], ["|a|b|"]),
        ({"end_with": "."}, [".", "a."], ["a", "a.."]),
        (
            {"open": "<", "close": ">", "wrap": '"', "sep": ";", "end_with": "\n", "min": 1},
            ['<"a";"b">\n'],
            ['<"a";"b">', "<a;b>\n"],
        ),
    ],
)
def test_delimiters_are_optional(fields, yes, no):
    constraint = ListStrat(WORD, **fields)

    assert [text for text in yes if not allows(constraint, text)] == []
    assert [text for text in no if allows(constraint, text)] == []


def test_value_is_the_list_of_the_elements_values():
    constraint = ListStrat(
        CharsStrat(CharsMode.JS_FLOAT, stop=8), open="[", close="]", wrap="'", end_with="\n"
    )

    assert constraint.value("['1.5', '-2']\n") == [1.5, -2.0]
    assert constraint.value("[]\n") == []
    assert constraint.answer("['1.5']\n") == "['1.5']"


def test_sequence_of_constraints_is_a_tuple():
    constraint = ListStrat([WORD, DIGITS, ChoicesStrat(["x", "y"])], sep="/")

    assert allows(constraint, "abc/12/y")
    assert not allows(constraint, "abc/12")
    assert constraint.value("abc/12/y") == ("abc", "12", "y")


ANY = CharsStrat(CharsMode.ALPHA, stop=5)


@pytest.mark.parametrize(
    ("constraint", "text", "value"),
    [
        (ListStrat(ANY, sep=",", end_with="\n"), ",a\n", ["", "a"]),
        (ListStrat(ANY, sep=","), ",,", ["", "", ""]),
        (ListStrat(ANY, sep=","), "a,", ["a", ""]),
        (ListStrat(ANY, sep=",", min=1), "", [""]),
        (ListStrat(ANY, sep=","), "", []),
        (ListStrat(ANY, sep="", min=3), "a", ["", "", "", "a"]),
        (ListStrat(ANY, sep="", max=2), "abcdef", ["a", "bcdef"]),
        (ListStrat([ANY, ANY], sep=""), "a", ("", "a")),
    ],
)
def test_element_may_be_empty(constraint, text, value):
    assert allows(constraint, text)
    assert constraint.value(text) == value


def test_list_of_empty_elements_is_parsed():
    question = self_prompt_mod(prompt="T: ", constraint=ListStrat(ANY, sep=",", end_with="\n"))

    assert play(question, says=",a\n").text == "T: ,a\n"


def test_more_elements_are_parsed_than_the_recursion_limit():
    assert ListStrat(DIGITS).value(", ".join(["123"] * 1200)) == ["123"] * 1200


def test_parsing_an_invalid_text_is_not_exponential():
    with pytest.raises(ValueError, match="does not match"):
        ListStrat(Regex("a{1,9}"), sep="").value("a" * 200 + "b")


def test_lists_nest():
    rows = ListStrat(ListStrat(DIGITS, sep=" ", min=1), sep="; ", open="(", close=")", min=1)

    assert allows(rows, "(1 2; 3)")
    assert rows.value("(1 2; 3)") == [["1", "2"], ["3"]]


def test_separator_may_occur_in_an_element():
    """A terminal that consumed it would leave no way to continue."""
    constraint = ListStrat(ChoicesStrat(["yes", "yes, please"]), min=1)

    for text in ("yes", "yes, yes", "yes, please, yes", "yes, yes, please"):
        assert allows(constraint, text)
    assert constraint.value("yes, please, yes") == ["yes, please", "yes"]


def test_terminator_that_equals_the_wrap_is_written_once():
    quoted = ListStrat(CharsStrat(CharsMode.STRING, stop='"'), wrap='"', open="[", close="]")

    assert allows(quoted, '["a", "b, c"]')
    assert quoted.value('["a", "b, c"]') == ["a", "b, c"]


@pytest.mark.parametrize(
    ("constraint", "text", "value"),
    [
        (ListStrat(OBJECT, open="[", close="]"), '[{"a": 1}, {}]', [{"a": 1}, {}]),
        (ListStrat(JsonSchema({"type": "integer"}), sep=" "), "1 23 4", [1, 23, 4]),
        (ListStrat([WORD, OBJECT], sep=": "), 'call: {"a": 7}', ("call", {"a": 7})),
        (
            ListStrat([UntilStrat("", UntilEndType.TAG, "</t>"), OBJECT], sep="\n"),
            'so {"a"</t>\n{}',
            ('so {"a"', {}),
        ),
        (ListStrat(Grammar('start: /[a-z]/ ("." /[a-z]/)*'), wrap="`"), "`a.b`, `c`", ["a.b", "c"]),
        (ListStrat([OBJECT], end_with="\n"), "{}\n", ({},)),
        (ListStrat(OBJECT, sep="\n", min=1, max=2), "{}\n{}", [{}, {}]),
        (ListStrat([OBJECT, OBJECT, WORD], sep=""), "{}{}ab", ({}, {}, "ab")),
    ],
)
def test_elements_that_need_rules_nest(constraint, text, value):
    assert allows(constraint, text)
    assert constraint.value(text) == value


@pytest.mark.parametrize(
    "constraint",
    [
        ListStrat([Regex("[a-z, ]*"), OBJECT]),
        ListStrat([CharsStrat(CharsMode.ALPHA, stop=5), JsonSchema({"const": True})], sep=""),
        ListStrat([ChoicesStrat(["yes", "yes, please"]), OBJECT]),
    ],
)
def test_ambiguous_border_is_rejected(constraint):
    with pytest.raises(ConstraintError, match="could still continue where that begins"):
        compile_constraint(constraint, BYTES)


@pytest.mark.parametrize(
    "constraint",
    [
        ListStrat([JsonSchema({"type": "number"}), DIGITS], sep=""),
        ListStrat([JsonSchema(True), DIGITS], sep="e"),
        ListStrat(JsonSchema({"type": "integer"}), sep=""),
        ListStrat([ListStrat([WORD, JsonSchema({"type": "integer"})], sep=" "), DIGITS], sep=""),
    ],
)
def test_number_with_an_ambiguous_end_is_rejected(constraint):
    with pytest.raises(ConstraintError, match="number cannot be separated from what follows"):
        compile_constraint(constraint, BYTES)


@pytest.mark.parametrize("seed", range(8))
def test_random_text_has_a_value(seed):
    constraint = ListStrat(
        [ListStrat(DIGITS, sep="-", min=1, max=3), ChoicesStrat(["-", "--"]), OBJECT],
        open="(",
        sep=" ",
        close=")",
    )
    text = wander(compile_constraint(constraint, BYTES).start(), BYTES, random.Random(seed)).text
    digits, dashes, document = constraint.value(text)

    assert text == f"({'-'.join(digits)} {dashes} {object_text(document)})"


def object_text(document):
    return "{}" if not document else f'{{"a": {document["a"]}}}'


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"elements": []}, "needs a constraint"),
        (
            {"elements": [WORD, "x"]},
            r"must be a constraint, not 'x'; for texts .* ChoicesStrat\(\['x'\]",
        ),
        ({"elements": 3}, "an element of ListStrat must be a constraint, not 3"),
        ({"elements": Regex}, r"make one of it: Regex\(...\)"),
        ({"elements": [WORD, WORD], "min": 1}, "`min` and `max` are for one constraint"),
        ({"elements": WORD, "open": 1}, "`open` of ListStrat is a text, not 1"),
        ({"elements": WORD, "sep": [","]}, "`sep` of ListStrat is a text"),
        ({"elements": WORD, "end_with": b"x"}, "`end_with` of ListStrat is a text"),
        ({"elements": WORD, "min": -1}, "`min`"),
        ({"elements": WORD, "max": 0}, "at most 0"),
        ({"elements": WORD, "min": 3, "max": 2}, "at least 3 and at most 2"),
    ],
)
def test_invalid_counts_and_elements_are_rejected(fields, words):
    with pytest.raises(ConstraintError, match=words):
        ListStrat(**fields)


def test_value_of_a_text_that_does_not_match_raises():
    with pytest.raises(ValueError, match="does not match"):
        ListStrat(DIGITS).value("a, b")
