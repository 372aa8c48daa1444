"""`ChoicesStrat`."""

import random

import pytest
from concordance_sdk.constraints import ChoicesStrat, allows, compile_constraint, constrain
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st
from wandering import wander

BYTES = ByteTokenizer()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.lists(TEXTS, min_size=1, max_size=6), TEXTS)
def test_exactly_the_choices_are_allowed(choices, other):
    constraint = ChoicesStrat(choices)

    assert all(allows(constraint, choice) for choice in choices)
    assert allows(constraint, other) == (other in choices)


def test_choice_that_is_a_prefix_of_another_is_reachable_and_so_is_the_longer_one():
    short_or_long = constrain(ChoicesStrat(["yes", "yes, please"]))

    assert play(short_or_long, script="yes").text == "yes"
    assert play(short_or_long, script="yes, whatever").text == "yes, please"


def test_random_tokens_reach_every_choice():
    compiled = compile_constraint(ChoicesStrat(["a", "ab", "abc", "b"]), BYTES)
    dice = random.Random(0)

    assert {wander(compiled.start(), BYTES, dice).text for _ in range(60)} == {
        "a",
        "ab",
        "abc",
        "b",
    }


def test_rest_of_the_only_remaining_choice_is_forced():
    answer = compile_constraint(ChoicesStrat(["left", "long", "right"]), BYTES).start()
    answer.extend(b"r")

    assert bytes(answer.forced()) == b"ight"


def test_duplicate_choices_are_removed():
    assert ChoicesStrat(["a", "b", "a"]).choices == ("a", "b")


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ([], "at least one"),
        ("yes", "list of texts, not the one text 'yes'"),
        (None, "list of texts, not None"),
        (3, "list of texts, not 3"),
        (["a", ""], "''"),
        (["a", 3], "not 3"),
        ([["a"]], r"a text, not \['a'\]"),
    ],
)
def test_invalid_choices_are_rejected(choices, words):
    with pytest.raises(ConstraintError, match=words):
        ChoicesStrat(choices)


def test_a_thousand_choices_compile():
    choices = [f"choice {i}" for i in range(1000)]
    answer = compile_constraint(ChoicesStrat(choices), BYTES).start()
    answer.extend(answer.forced())
    answer.extend(b"417")

    assert answer.text == "choice 417"
    assert answer.is_complete
