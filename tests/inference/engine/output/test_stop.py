"""Stop strings."""

import pytest
from concordance_inference.engine.output.stop import StopStrings


def test_the_first_of_several_is_found():
    assert StopStrings(["lo", "el"]).find("hello") == 1


@pytest.mark.parametrize(
    ("strings", "at"), [(["cd", "abcdef"], 3), (["abcdef", "cde"], 3), (["cd", "bcd"], 2)]
)
def test_the_one_that_is_completed_first_is_found_and_the_longest_of_those(strings, at):
    assert StopStrings(strings).find("zabcdefgh") == at


def test_nothing_is_found_where_nothing_is():
    assert StopStrings(["x"]).find("hello") is None


def test_looking_begins_where_it_is_told_to():
    assert StopStrings(["l"]).find("hello", 3) == 3


def test_empty_strings_stop_nothing():
    stop = StopStrings([""])

    assert not stop
    assert stop.find("abc") is None


@pytest.mark.parametrize(
    ("text", "length"), [("abc", 0), ("abE", 1), ("abEN", 2), ("EN", 2), ("END", 0), ("EEN", 2)]
)
def test_the_beginning_of_a_stop_string_at_the_end_is_seen(text, length):
    assert StopStrings(["END", "xyz"]).open_length(text) == length
