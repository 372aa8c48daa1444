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


def test_span_ends_after_its_last_token():
    it = answer(ChoicesStrat(["yes", "no"]))
    it.follow(10, b"ye")
    assert it.end is None

    it.follow(12, b"s")
    assert (it.end, it.is_ended_by_eos) == (13, False)


def test_eos_ends_a_span_and_follows_it():
    it = answer(Regex("a+"))
    it.follow(10, [*b"aa", EOS])

    assert (it.end, it.is_ended_by_eos, it.matcher.text) == (12, True, "aa")
    assert it.go_to(12)  # the end-of-sequence token was removed: the span has still ended
    assert it.end == 12


def test_backtracked_span_is_open_again():
    it = answer(Regex("a+"))
    it.follow(10, [*b"aa", EOS])

    assert it.go_to(11)
    assert (it.end, it.matcher.text) == (None, "a")
    assert not it.go_to(9)


def test_tokens_after_the_end_are_not_part_of_the_span():
    it = answer(ChoicesStrat(["yes", "no"]))
    it.follow(10, b"yes, and more")

    assert (it.end, it.matcher.text) == (13, "yes")


def test_missed_tokens_are_an_error_that_names_the_fix():
    it = answer(Regex("ab[cd]+"))
    assert bytes(it.forced()) == b"ab"

    with pytest.raises(ConstraintError, match="at steps 10 to 11 were not seen: forward every"):
        it.go_to(12)
    it.follow(10, b"ab")
    with pytest.raises(ConstraintError, match="at steps 12 to 12 were not seen"):
        it.follow(13, b"d")


def test_tokens_that_violate_the_constraint_are_rejected():
    it = answer(ChoicesStrat(["yes", "no"]))

    with pytest.raises(ConstraintError, match="does not allow 'x' after 'y'"):
        it.follow(10, b"yx")
