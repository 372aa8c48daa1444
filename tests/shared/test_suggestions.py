"""Suggestions for mistyped names."""

import pytest
from concordance_shared.suggestions import did_you_mean, similar_names

FIELDS = ["max_tokens", "messages", "model", "mods", "temperature", "top_k", "top_p"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("maxTokens", ["max_tokens"]),
        ("max-tokens", ["max_tokens"]),
        ("MODS", ["mods"]),
        ("mods_", ["mods"]),
        ("mod", ["mods", "model"]),
        ("temprature", ["temperature"]),
        ("message", ["messages"]),
        ("seed", []),
        ("", []),
    ],
)
def test_the_most_similar_names_are_suggested_first(typed, expected):
    assert similar_names(typed, FIELDS) == expected


def test_a_suggestion_is_a_question():
    assert did_you_mean(["a", "b"]) == "; did you mean 'a' or 'b'?"
    assert did_you_mean([]) == ""
