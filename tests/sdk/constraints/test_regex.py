"""`Regex`."""

import random
import re

import pytest
from concordance_sdk.constraints import Regex, allows, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from wandering import wander

BYTES = ByteTokenizer()


@pytest.mark.parametrize(
    "pattern",
    [
        r"[A-Z]{2}\d{3}",
        r"a/b|c\/d",
        r"(?:\w+\s)?\w{2}",
        'quoted "\\w+"',
        r"^\d+$",
        "two\nlines?",
        r"#\S",
        r"(yes|no|maybe)[.!]",
        r"[^abc]{3}",
    ],
)
def test_random_text_matches_the_whole_pattern(pattern):
    compiled = compile_constraint(Regex(pattern), BYTES)
    for seed in range(6):
        matcher = wander(compiled.start(), BYTES, random.Random(seed), 4000)

        assert matcher.is_complete
        assert re.fullmatch(pattern, matcher.text, re.ASCII)


def test_empty_match_is_allowed():
    assert allows(Regex("a?"), "")
    assert allows(Regex(""), "")


def test_classes_are_ascii_and_unicode_properties_are_available():
    assert not allows(Regex(r"\w"), "é")
    assert allows(Regex(r"\p{L}"), "é")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("a(", r"Regex\(pattern='a\('\) cannot be enforced: unclosed group$"),
        (r"a(?=b)", "look-around, .* not supported; write it without, or as a Grammar"),
        (r"(a)\1", "backreferences are not supported; write it without"),
        (3, "not 3"),
        ("[a&&b]", "no text at all"),
    ],
)
def test_invalid_pattern_is_rejected_where_it_is_defined(pattern, words):
    with pytest.raises(ConstraintError, match=words):
        Regex(pattern)
