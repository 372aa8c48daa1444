"""`Avoid`: words that are backtracked over when they appear, and banned where they began."""

import pytest
from concordance_sdk import use
from concordance_sdk.builtin import Avoid
from concordance_sdk.testing import play


def test_avoid_backtracks_over_a_word_and_bans_its_first_token():
    def model(completion):
        """Write a red hat, and `?` where `r` is banned."""
        text = b"a ?ed hat" if b"?" in bytes(completion) else b"a red hat"
        return text[len(completion)] if len(completion) < len(text) else 256

    played = play(use(Avoid, words=["red"]), script=model)

    assert "red" not in played.text
    assert played.num_backtracked > 0


@pytest.mark.parametrize(("whole_words", "stays"), [(True, True), (False, False)])
def test_avoid_may_leave_a_word_inside_longer_words(whole_words, stays):
    avoid = use(Avoid, words=["red"], whole_words=whole_words)

    assert ("reduce" in play(avoid, script="reduce").text) is stays
