"""Where an answer stands in a completion, by the steps that it is told."""

import pytest
from concordance_sdk.constraints import ChoicesStrat, Regex, compile_constraint
from concordance_sdk.constraints.span import ConstrainedSpan
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError

EOS = 256
BYTES = ByteTokenizer()


def answer(constraint, begin=10):
    return ConstrainedSpan(compile_constraint(constraint, BYTES).start(), begin)


def test_it_ends_behind_its_last_token():
    it = answer(ChoicesStrat(["yes", "no"]))
    it.follow(10, b"ye")
    assert it.end is None

    it.follow(12, b"s")
    assert (it.end, it.was_told_to_end) == (13, False)


def test_an_end_token_ends_it_and_stands_behind_it():
    it = answer(Regex("a+"))
    it.follow(10, [*b"aa", EOS])

    assert (it.end, it.was_told_to_end, it.matcher.text) == (12, True, "aa")
    assert it.go_to(12)  # the end token was taken back: it has ended all the same
    assert it.end == 12


def test_what_was_taken_back_is_open_again():
    it = answer(Regex("a+"))
    it.follow(10, [*b"aa", EOS])

    assert it.go_to(11)
    assert (it.end, it.matcher.text) == (None, "a")
    assert not it.go_to(9)


def test_what_stands_behind_its_end_is_no_part_of_it():
    it = answer(ChoicesStrat(["yes", "no"]))
    it.follow(10, b"yes, and more")

    assert (it.end, it.matcher.text) == (13, "yes")


def test_tokens_that_it_was_not_told_of_are_an_error_that_names_the_cure():
    it = answer(Regex("ab[cd]+"))
    assert bytes(it.forced()) == b"ab"

    with pytest.raises(ConstraintError, match="at steps 10 to 11 were not seen: hand every"):
        it.go_to(12)
    it.follow(10, b"ab")
    with pytest.raises(ConstraintError, match="at steps 12 to 12 were not seen"):
        it.follow(13, b"d")


def test_tokens_against_the_constraint_are_refused():
    it = answer(ChoicesStrat(["yes", "no"]))

    with pytest.raises(ConstraintError, match="does not allow 'x' after 'y'"):
        it.follow(10, b"yx")
