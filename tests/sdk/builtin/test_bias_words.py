"""Words made likelier, or less likely."""

from concordance_sdk import use
from concordance_sdk.builtin import BiasWords
from concordance_sdk.testing import play


def test_strong_bias_writes_the_word():
    steer = use(BiasWords, words=["yes"], strength=5.0)
    played = play(steer, script="y.....", max_tokens=3)

    assert played.text.startswith("yes")


def test_weak_bias_leaves_the_choice_of_the_model():
    assert play(use(BiasWords, words=["yes"], strength=0.5), says="no").text == "no"


def test_negative_bias_prevents_only_the_completion_of_the_word():
    away = use(BiasWords, words=["cat"], strength=-5.0)

    assert play(away, says="car").text == "car"
    assert play(away, says="cat", max_tokens=3).text == "ca\0"
