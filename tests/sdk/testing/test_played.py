"""What a test can expect of what was played, and what it is told when it is not so."""

import pytest
from concordance_sdk import Added, Finished, ForwardPass, ModRaisedError, Prefilled, Sampled, mod
from concordance_sdk.testing import play


@mod(on=[Added])
def fix(event, actions, tokenizer):
    """Makes "teh" a "the"."""
    if event.step == 2 and not event.forced:
        return actions.backtrack(2, tokenizer.encode("he"))


@pytest.fixture(name="played")
def _played():
    return play(fix, says="teh cat", prompt="Q:")


def failure(expect, *args, **options):
    with pytest.raises(AssertionError) as caught:
        expect(*args, **options)
    return str(caught.value)


def test_the_log_tells_every_event_in_words(played):
    assert played.log[:4] == (
        "prefilled with 2 tokens",
        "forward_pass 0",
        "sampled 0 't'",
        "added 0 't'",
    )
    assert "taken back 2, to 1" in played.log
    assert "added 1 'he' (forced)" in played.log
    assert played.log[-1] == "finished 8 stop"


def test_what_is_as_expected_passes_and_can_be_chained(played):
    played.expect_text("the cat").expect_events(Prefilled, Finished).expect_passes(8)
    played.expect_passes(at_most=8)


def test_another_text_is_told_with_where_it_differs_and_the_log(played):
    told = failure(played.expect_text, "the dog")

    assert "'the cat'" in told
    assert "from character 4 on it is 'cat' instead of 'dog'" in told
    assert "  1 prefilled with 2 tokens" in told


@pytest.mark.parametrize(("text", "words"), [("the cat!", "'' instead of '!'"), ("", "'the cat'")])
def test_a_text_that_is_longer_or_shorter_is_told(played, text, words):
    assert words in failure(played.expect_text, text)


def test_events_are_expected_in_order_with_others_between(played):
    played.expect_events("sampled 2", "taken back", "added 1 'he'", ForwardPass, Sampled, Added)


def test_an_event_that_did_not_come_is_named(played):
    assert "no event 'added 1 'she''" in failure(played.expect_events, "added 1 'she'").replace(
        '"', "'"
    )


def test_an_event_that_came_too_early_is_told(played):
    assert "behind line" in failure(played.expect_events, "taken back", Prefilled)


def test_the_passes_are_told_with_what_each_read(played):
    told = failure(played.expect_passes, 3)

    assert "8 forward passes instead of 3" in told
    assert "they read 'Q:', 't', 'e', 'he', ' ', 'c'" in told
    assert "instead of at most 7" in failure(played.expect_passes, at_most=7)


def test_what_was_played_until_a_mod_failed_is_in_the_errors_notes():
    @mod(on=[Added])
    def boom(event, actions):
        if event.step == 1:
            raise RuntimeError("kaput")

    with pytest.raises(ModRaisedError) as caught:
        play(boom, says="ab")

    assert "added 1 'b'" in caught.value.__notes__[0]
