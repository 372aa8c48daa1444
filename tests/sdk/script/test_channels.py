"""Scripts in completions with channels."""

import pytest
from concordance_sdk import mod
from concordance_sdk.channels import get_channels
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.testing import MessageTokenizer, message_channels, play, tag_channels

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
VERDICT = ChoicesStrat(["yes", "no"])


def messages(script, **options):
    played = play(script, channels=message_channels(), **options)
    return MessageTokenizer().decode(played.token_ids)


def test_script_opens_final_at_the_first_token():
    @mod
    def greet(run):
        yield run.force("Hi,", channel="final")
        yield run.generate()

    assert messages(greet, says=" you").startswith(f"{FINAL}Hi, you")
    assert play(greet, says=" you").text == "Hi, you"


def test_script_waits_for_the_end_of_a_header_of_another_channel():
    @mod
    def skip(run):
        yield run.generate(tokens=5)
        text = yield run.force("4", channel="final")
        assert text == "4"

    assert messages(skip, says=f"{ANALYSIS}").startswith(
        f"{ANALYSIS}<|end|><|start|>assistant{FINAL}4"
    )


def test_generated_text_is_constrained_in_one_channel():
    @mod
    def judge(run):
        text = yield run.generate(constraint=VERDICT, channel="final")
        assert text.value == "no"
        yield run.stop()

    assert play(judge, says="<think>yes?</think>nay", channels=tag_channels()).text == (
        "<think>yes?</think>no"
    )


def test_script_reads_the_channel():
    seen = []

    @mod
    def watch(run):
        for _ in range(12):
            yield run.generate(tokens=1)
            seen.append(get_channels().channel)

    play(watch, says="<think>ab</think>c", channels=tag_channels())

    assert seen == [None] * 6 + ["analysis"] * 6


def test_channel_without_a_constraint_is_an_error():
    @mod
    def wrong(run):
        yield run.generate(channel="final")

    with pytest.raises(Exception, match="no effect without `constraint`"):
        play(wrong, says="")


def test_only_final_can_be_opened():
    @mod
    def wrong(run):
        yield run.force("", channel="analysis")

    with pytest.raises(Exception, match="opens the channel 'final', not 'analysis'"):
        play(wrong, says="")
