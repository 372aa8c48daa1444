"""The four mods that come with the engine, by the SDK's own test harness."""

import pytest
from concordance_inference.mods.builtin import Avoid, Greeting, Replace, Sentences
from concordance_sdk.testing import play


def test_greeting():
    played = play(Greeting, script="xxxxxyou", parameters={"text": "Hi, "})

    assert played.text == "Hi, xyou"[:4] + "xyou"
    assert played.num_forced == 4


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
def test_replace(script, expected, stream):
    said = []

    def model(completion):
        """Says the script, counted in what was meant and not in what was put in its place."""
        text = bytes(completion).decode().replace("Lyon", "Paris")
        return ord(script[len(text)]) if len(text) < len(script) else 256

    said = play(
        Replace, script=model, parameters={"find": "Paris", "replacement": "Lyon"}, stream=stream
    )

    assert said.text == expected


def test_replacing_a_phrase_by_one_that_holds_it_comes_to_an_end():
    def model(completion):
        return b"a cat"[len(completion)] if len(completion) < 5 else 256

    played = play(Replace, script=model, parameters={"find": "cat", "replacement": "big cat"})

    assert played.text == "a big cat"


def test_avoid_takes_a_word_back_and_says_something_else_there():
    def model(completion):
        return (
            (b"a red hat" if b"?" not in bytes(completion) else b"a ?ed hat")[len(completion)]
            if len(completion) < 9
            else 256
        )

    played = play(Avoid, script=model, parameters={"word": "red"})

    assert "red" not in played.text
    assert played.num_taken_back > 0


@pytest.mark.parametrize(
    ("count", "text"), [(1, "One."), (2, "One. Two!"), (9, "One. Two! Three? 3.5 is no end")]
)
def test_sentences(count, text):
    played = play(Sentences, script="One. Two! Three? 3.5 is no end", parameters={"count": count})

    assert played.text == text
