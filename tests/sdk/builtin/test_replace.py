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


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("max_tokens", range(1, 22))
def test_replacement_that_contains_its_phrase_may_reach_the_budget_anywhere(max_tokens, stream):
    replace = use(Replace, find="Acme", replacement="Acme Inc. é")
    played = play(replace, says="At Acme!", max_tokens=max_tokens, stream=stream)
    whole = b"At " + ("Acme"[: max_tokens - 3] if max_tokens < 7 else "Acme Inc. é!").encode()
    assert bytes(t for t in played.token_ids if t < 256) == whole[:max_tokens]
