"""Stop strings count in the content of a completion only."""

from functools import partial

import pytest
from concordance_inference.engine.output.content_scope import ContentScope
from concordance_inference.engine.output.decoder import BytesDecoder
from concordance_inference.engine.output.stop import StopStrings
from concordance_inference.engine.output.text_stream import TextStream
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_sdk.channels import Channels
from concordance_sdk.host.request_state import RequestState
from concordance_sdk.testing import ByteTokenizer, tag_channels
from harmony_bytes import TOKENIZER, TOKENS, named

HARMONY = HarmonyChannels(TOKENS, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode)
ANSWER = "<|channel|>analysis<|message|>a b<|end|><|start|>assistant<|channel|>final<|message|>"


def stopped(ids, stop, channels, *, at_once=False):
    """The text up to a stop string, of tokens that arrive one by one or together."""
    state = RequestState("r", [1], max_tokens=999)
    followed = Channels(channels, state)
    state.followers.append(followed)
    text = TextStream(
        BytesDecoder(channels.token_bytes), StopStrings([stop]), content=ContentScope(followed)
    )
    state.append(ids, forced=True)
    step = len(ids) if at_once else 1
    for i in range(0, len(ids), step):
        text.follow(i, ids[i : i + step])
        text.delta(i + step)
    return text.text(), text.has_stopped


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("after", "stop", "text"),
    [
        ("a b", "b", "a "),
        ("xyz", "analysis", None),
        ("xyz", "<|", None),
        ("xyz", "assistant", None),
        ("xyz<|end|><|start|>assistant", "zassistant", None),
        ("xyz", "y", "x"),
    ],
)
def test_stop_string_of_messages_counts_in_the_content(after, stop, text, at_once):
    found, has_stopped = stopped(named(ANSWER + after), stop, HARMONY, at_once=at_once)

    assert has_stopped == (text is not None)
    assert found == ANSWER + (after if text is None else text)


def test_stop_string_counts_in_a_preamble_and_not_in_the_arguments_of_a_call():
    preamble = "<|channel|>commentary<|message|>I look"
    call = "<|channel|>commentary to=functions.look<|message|>{look}"

    assert stopped(named(preamble), "loo", HARMONY)[1]
    assert not stopped(named(call), "loo", HARMONY)[1]


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(
    ("text", "stop", "end"),
    [
        ("<think>a b</think>c b", "b", "<think>a b</think>c "),
        ("<think>a</think>\n\nb\n\nc", "\n\n", "<think>a</think>\n\nb"),
        ("<think>a</think>bc", "think>b", None),
        ("a <think>b", "<", "a "),
        ("<thx", "<", ""),
        ("  a", "  ", ""),
        ("<think>\n\n", "\n\n", None),
    ],
)
def test_stop_string_of_tags_counts_in_the_content(text, stop, end, at_once):
    ids = ByteTokenizer().encode(text)
    found, has_stopped = stopped(ids, stop, tag_channels(), at_once=at_once)

    assert has_stopped == (end is not None)
    assert found == (text if end is None else end)


def test_stop_string_in_the_token_that_closes_the_reasoning_is_found():
    pieces = ["<think>", "a#", "</think>b#c", "d"]
    channels = tag_channels()
    channels.token_bytes = lambda i: pieces[i].encode()

    assert stopped([0, 1, 2, 3], "#", channels) == ("<think>a#</think>b", True)


def test_reasoning_that_a_mod_cuts_leaves_the_scope():
    state = RequestState("r", [1], max_tokens=999)
    followed = Channels(tag_channels(), state)
    state.followers.append(followed)
    text = TextStream(
        BytesDecoder(ByteTokenizer().token_bytes),
        StopStrings(["b"]),
        content=ContentScope(followed),
    )
    follow = partial(state.append, forced=True)
    text.follow(0, follow(ByteTokenizer().encode("<think>a</think>")))
    state.backtrack(8)
    text.follow(8, follow(b"b"))
    assert not text.has_stopped

    text.follow(9, follow(ByteTokenizer().encode("</think>b")))
    assert text.has_stopped
