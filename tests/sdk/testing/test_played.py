"""The assertions of `Played` and their messages."""

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


def test_log_has_a_line_for_every_event(played):
    assert played.log[:4] == (
        "prefilled with 2 tokens",
        "forward_pass 0",
        "sampled 0 't'",
        "added 0 't'",
    )
    assert "backtracked 2, to 1" in played.log
    assert "added 1 'he' (forced)" in played.log
    assert played.log[-1] == "finished 8 stop"


def test_assertions_that_hold_can_be_chained(played):
    played.expect_text("the cat").expect_events(Prefilled, Finished).expect_passes(8)
    played.expect_passes(at_most=8)


def test_message_for_another_text_shows_the_difference_and_the_log(played):
    message = failure(played.expect_text, "the dog")

    assert "'the cat'" in message
    assert "from character 4 on it is 'cat' instead of 'dog'" in message
    assert "  1 prefilled with 2 tokens" in message


@pytest.mark.parametrize(("text", "words"), [("the cat!", "'' instead of '!'"), ("", "'the cat'")])
def test_message_for_a_longer_or_shorter_text(played, text, words):
    assert words in failure(played.expect_text, text)


def test_expected_events_may_have_others_between_them(played):
    played.expect_events("sampled 2", "backtracked", "added 1 'he'", ForwardPass, Sampled, Added)


def test_missing_event_is_named(played):
    assert "no event 'added 1 'she''" in failure(played.expect_events, "added 1 'she'").replace(
        '"', "'"
    )


def test_event_out_of_order_is_missing(played):
    assert "after line" in failure(played.expect_events, "backtracked", Prefilled)


def test_message_for_another_number_of_passes_shows_what_each_processed(played):
    message = failure(played.expect_passes, 3)

    assert "8 forward passes instead of 3" in message
    assert "processed: 'Q:', 't', 'e', 'he', ' ', 'c'" in message
    assert "instead of at most 7" in failure(played.expect_passes, at_most=7)


def test_error_of_a_mod_has_the_event_log_in_its_notes():
    @mod(on=[Added])
    def boom(event, actions):
        if event.step == 1:
            raise RuntimeError("kaput")

    with pytest.raises(ModRaisedError) as caught:
        play(boom, says="ab")

    assert "added 1 'b'" in caught.value.__notes__[0]
