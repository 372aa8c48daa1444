"""The channels of a completion that grows and is cut."""

import random
from types import SimpleNamespace

import pytest
from concordance_sdk import Added, ForwardPass, Sampled, mod
from concordance_sdk.channels import Channels, get_channels
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.testing import MessageTokenizer, message_channels, play, tag_channels

ANSWER = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>4"
CALL = "<|channel|>commentary to=functions.look<|message|>{}<|call|>"


def state_of(text, channels=None):
    state = RequestState("r", [1], max_tokens=999)
    followed = Channels(channels or message_channels(), state)
    state.followers.append(followed)
    state.append(MessageTokenizer().encode(text), forced=True)
    return state, followed


def test_events_have_the_channel_of_the_next_token():
    seen = []

    @mod(on=[ForwardPass, Sampled, Added])
    def watch(event, actions):
        seen.append((type(event).__name__, event.step, event.channel, event.in_header))

    play(watch, says="<think>a</think>b", channels=tag_channels())

    assert ("ForwardPass", 7, "analysis", False) in seen
    assert ("Sampled", 7, "analysis", False) in seen
    assert ("Added", 6, "analysis", False) in seen  # the last character of the opening tag
    assert ("Sampled", 0, None, True) in seen
    assert ("Added", 15, "final", False) in seen


def test_event_of_a_tool_call_has_its_recipient():
    seen = set()

    @mod(on=[Added])
    def watch(event, actions):
        seen.add((event.channel, event.recipient))

    play(watch, says=CALL, channels=message_channels())

    assert seen == {(None, None), ("commentary", "functions.look")}


def test_event_of_a_model_without_channels_has_none():
    seen = set()

    @mod(on=[ForwardPass, Sampled, Added])
    def watch(event, actions):
        seen.add((event.channel, event.recipient, event.in_header, get_channels()))

    play(watch, says="<think>a</think>b")

    assert seen == {(None, None, False, None)}


def test_channel_of_an_earlier_event_can_be_read_until_tokens_are_removed():
    kept = []

    @mod(on=[Added])
    def late(event, actions):
        kept.append(event)
        if event.step == 20 and len(kept) == 21:
            assert kept[3].channel is None
            return actions.backtrack(1)

    play(late, script="<think>a</think>bcdefghi", channels=tag_channels(), max_tokens=24)

    assert kept[3].channel is None  # read before
    with pytest.raises(ValueError, match="can be read only until tokens are removed"):
        _ = kept[10].channel


def test_reasoning_of_several_messages_is_counted_together():
    state, channels = state_of(
        "<|channel|>analysis<|message|>abc<|end|><|start|>assistant<|channel|>analysis"
    )
    assert channels.num_reasoning == 3

    state.append(MessageTokenizer().encode("<|message|>de"), forced=True)

    assert channels.num_reasoning == 5
    state.backtrack(3)
    assert (channels.num_reasoning, channels.place.in_header) == (3, True)


def test_content_begins_after_the_header():
    _, channels = state_of(ANSWER)

    assert (channels.channel, channels.begin) == (
        "final",
        len(MessageTokenizer().encode(ANSWER)) - 1,
    )


def test_completion_that_ends_inside_a_character_is_not_whole():
    state, channels = state_of("<|channel|>analysis<|message|>a")
    assert channels.is_whole

    state.append(list("日".encode()[:2]), forced=True)
    assert not channels.is_whole
    state.append(list("日".encode()[2:]), forced=True)
    assert channels.is_whole


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", "<|channel|>final<|message|>"),
        ("<|channel|>fi", "nal<|message|>"),
        ("<|channel|>analysis", None),
        ("<|channel|>analysis<|message|>a", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        (ANSWER, ""),
        (CALL[:-8], None),
    ],
)
def test_final_is_opened_from_where_the_completion_is(text, rest):
    ids = state_of(text)[1].to_final()

    assert (ids is None) == (rest is None)
    assert ids is None or MessageTokenizer().decode(ids) == rest


@pytest.mark.parametrize("seed", range(10))
def test_random_edits_give_the_channels_of_the_whole_completion(seed):
    dice = random.Random(seed)
    parts = [
        "<|channel|>",
        "analysis",
        "final",
        "<|message|>",
        "<|end|>",
        "<|start|>",
        "assistant",
        "a",
    ]
    state, channels = state_of("")
    for _ in range(60):
        if dice.random() < 0.7:
            ids = MessageTokenizer().encode(dice.choice(parts))
            state.append(ids, forced=dice.random() < 0.5)
        else:
            state.backtrack(dice.randint(0, min(9, state.num_completion)))
        if dice.random() < 0.5:
            length = dice.randint(0, state.num_completion)
            assert channels.at(length) == fresh(state.completion_ids[:length]).place
            assert channels.num_reasoning == fresh(state.completion_ids).num_reasoning


def fresh(ids):
    return Channels(message_channels(), SimpleNamespace(token_ids=list(ids), prompt_len=0))


def test_each_token_is_looked_at_once_and_content_tokens_not_at_all():
    looked = []
    channels_format = message_channels()
    after = channels_format.after
    channels_format.after = lambda state, token_id: (
        looked.append(token_id) or after(state, token_id)
    )
    state, channels = state_of(ANSWER, channels_format)
    for _ in range(5):
        state.append([97], forced=False)
        assert channels.channel == "final"

    assert len(looked) == len(MessageTokenizer().encode(ANSWER)) - 3  # without "hm" and "4"


def test_nothing_is_computed_before_a_channel_is_read():
    channels_format = message_channels()
    channels_format.after = None

    @mod(on=[Added])
    def blind(event, actions):
        pass

    assert play(blind, says=ANSWER, channels=channels_format).text


def test_channels_outside_of_a_request_are_an_error():
    with pytest.raises(RuntimeError, match="no current request"):
        get_channels()
