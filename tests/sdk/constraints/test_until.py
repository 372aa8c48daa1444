"""`UntilStrat`."""

import random

import pytest
from concordance_sdk.constraints import UntilEndType, UntilStrat, allows, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st
from wandering import wander

BYTES = ByteTokenizer()
TAG, ANYCHAR, NEWLINE = UntilEndType.TAG, UntilEndType.ANYCHAR, UntilEndType.NEWLINE


@settings(deadline=None, max_examples=60)
@given(st.text("ab<", max_size=8), st.text("ab<", min_size=1, max_size=3))
def test_first_tag_ends_it_also_if_tags_overlap(text, tag):
    first = text.find(tag)

    assert allows(UntilStrat("", TAG, tag), text) == (0 <= first == len(text) - len(tag))


@settings(deadline=None, max_examples=60)
@given(
    st.text("ab]^-\\/\n. ", max_size=6),
    st.text("]^-\\/\n.", min_size=1, max_size=3),
)
def test_first_terminating_character_ends_it(text, ends):
    expected = bool(text) and text[-1] in ends and not set(text[:-1]) & set(ends)

    assert allows(UntilStrat("", ANYCHAR, ends), text) == expected


def test_newline_ends_a_line():
    line = UntilStrat("", NEWLINE, "\n")

    assert allows(line, "any \t text é\n")
    assert not allows(line, "two\nlines\n")
    assert not allows(line, "no break")


def test_start_is_forced_and_not_in_the_value():
    answer = compile_constraint(UntilStrat("<q>", TAG, "</q>"), BYTES).start()
    assert bytes(answer.forced()) == b"<q>"

    answer.extend(b"<q>why?</q>")
    assert answer.is_complete
    assert (answer.answer, answer.value) == ("<q>why?</q>", "why?")


def test_it_does_not_stop_before_its_terminator():
    answer = compile_constraint(UntilStrat("", TAG, "</q>"), BYTES).start()
    answer.extend(b"why?</q")

    assert not answer.can_stop
    assert bytes(answer.forced()) == b""  # it may yet turn out to be text


@pytest.mark.parametrize(("end_type", "end"), [(TAG, "e"), (ANYCHAR, "e."), (NEWLINE, "")])
def test_random_tokens_reach_the_terminator_and_stop(end_type, end):
    constraint = UntilStrat("", end_type, end)
    compiled = compile_constraint(constraint, BYTES)
    texts = [wander(compiled.start(), BYTES, random.Random(i), 4000).text for i in range(8)]

    assert all(allows(constraint, text) for text in texts)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (("", TAG, ""), "TAG needs `end`"),
        (("", ANYCHAR, ""), "ANYCHAR needs `end`"),
        (("", NEWLINE, "end"), "use TAG"),
        (("", "tag", "x"), "UntilEndType"),
        (("", TAG, 3), "`end` of UntilStrat is a text, not 3"),
        ((["<q>"], TAG, "</q>"), r"`start` of UntilStrat is a text, not \['<q>'\]"),
    ],
)
def test_missing_terminator_is_rejected(strategy, words):
    with pytest.raises(ConstraintError, match=words):
        UntilStrat(*strategy)
