"""Words made likelier, or less likely."""

from concordance_sdk import use
from concordance_sdk.builtin import BiasWords
from concordance_sdk.testing import play


def test_a_strong_bias_says_the_word():
    steer = use(BiasWords, words=["yes"], strength=5.0)
    played = play(steer, script="y.....", max_tokens=3)

    assert played.text.startswith("yes")


def test_a_weak_one_leaves_the_models_choice():
    assert play(use(BiasWords, words=["yes"], strength=0.5), says="no").text == "no"


def test_steering_away_keeps_only_the_word_from_being_completed():
    away = use(BiasWords, words=["cat"], strength=-5.0)

    assert play(away, says="car").text == "car"
    assert play(away, says="cat", max_tokens=3).text == "ca\0"
