"""`Replace`: a phrase that is backtracked over and replaced by forced tokens."""

import pytest
from concordance_sdk import use
from concordance_sdk.builtin import Replace
from concordance_sdk.testing import play


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("In Paris.", "In Lyon."),
        ("Paris, Paris", "Lyon, Lyon"),
        ("nothing", "nothing"),
        ("Pari", "Pari"),
    ],
)
def test_replace_forces_the_replacement_wherever_the_phrase_appears(script, expected, stream):
    def model(completion):
        """Continue the script, whose phrases may have been replaced."""
        text = bytes(completion).decode().replace("Lyon", "Paris")
        return ord(script[len(text)]) if len(text) < len(script) else 256

    replace = use(Replace, find="Paris", replacement="Lyon")

    assert play(replace, script=model, stream=stream).text == expected


def test_replacement_that_contains_its_phrase_is_not_replaced_again():
    def model(completion):
        return b"a cat"[len(completion)] if len(completion) < 5 else 256

    replace = use(Replace, find="cat", replacement="big cat")

    assert play(replace, script=model).text == "a big cat"
