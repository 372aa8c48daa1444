"""ProgressGuard: which decisions count as progress, and what ends a request without any."""

import pytest
from concordance_sdk import Added, ForwardPass, Sampled, mod
from concordance_sdk.testing import play
from concordance_shared import ModBudgetError


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled, Added])
def test_endless_backtracking_ends_with_an_error_that_names_the_mod(event_type):
    @mod(name="endless", on=[event_type])
    def endless(event, actions):
        return actions.backtrack(int(event_type is Added))

    with pytest.raises(ModBudgetError, match="'endless' keeps the completion from advancing"):
        play(endless, script="abc")


def test_backtracking_too_many_tokens_ends_with_an_error():
    @mod(on=[Added])
    def back_and_forth(event, actions):
        if event.step == 9:  # every net new token is backtracked again, a little later each time
            return actions.backtrack(10, b"x" * 9)

    with pytest.raises(ModBudgetError):
        play(back_and_forth, script="a" * 30, max_tokens=10)


def test_alternating_between_two_completions_ends_with_an_error():
    @mod(on=[Added])
    def round_and_round(event, actions):
        return actions.backtrack(1, b"b" if event.added_tokens == tuple(b"a") else b"a")

    with pytest.raises(ModBudgetError, match="64 decisions in a row led to nothing new"):
        play(round_and_round, script="a", max_tokens=4096)


def test_backtracking_over_many_different_questions_is_progress():
    """No completion is longer than the longest so far, but each is new."""
    left = list(range(150))

    @mod(on=[ForwardPass])
    def ask(event, actions):
        if event.step:
            return actions.backtrack(event.step, b"%03d?" % left.pop()) if left else None
        return actions.force_tokens(b"???? ")

    assert play(ask, script="", max_tokens=100).text == "000?"


def test_replacing_every_token_is_progress():
    @mod(on=[Added])
    def shout(event, actions):
        if not event.forced and event.added_tokens[0] < 256:
            return actions.backtrack(1, bytes(event.added_tokens).upper())

    assert play(shout, script="a" * 100).text == "A" * 100
