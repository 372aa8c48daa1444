"""StopStrings: finding stop strings and their prefixes in a text."""

import pytest
from concordance_inference.engine.output.stop import StopStrings


def test_first_stop_string_in_the_text_is_found():
    assert StopStrings(["lo", "el"]).find("hello") == 1


@pytest.mark.parametrize(
    ("strings", "at"), [(["cd", "abcdef"], 3), (["abcdef", "cde"], 3), (["cd", "bcd"], 2)]
)
def test_stop_string_completed_first_is_found_or_the_longest_of_several(strings, at):
    assert StopStrings(strings).find("zabcdefgh") == at


def test_no_stop_string_is_found_without_a_match():
    assert StopStrings(["x"]).find("hello") is None


def test_search_starts_at_begin():
    assert StopStrings(["l"]).find("hello", after=3) == 3


def test_empty_stop_strings_are_ignored():
    stop = StopStrings([""])

    assert not stop
    assert stop.find("abc") is None


@pytest.mark.parametrize(
    ("text", "length"), [("abc", 0), ("abE", 1), ("abEN", 2), ("EN", 2), ("END", 0), ("EEN", 2)]
)
def test_open_length_is_the_longest_prefix_of_a_stop_string_at_the_end(text, length):
    assert StopStrings(["END", "xyz"]).open_length(text) == length
