"""The channels of completions in Harmony."""

import random

import pytest
from concordance_inference.harmony.channels import HarmonyChannels
from concordance_inference.harmony.place import Place
from concordance_inference.harmony.vocabulary import NAMES, HarmonyTokens
from concordance_sdk.testing import MessageTokenizer, message_channels

TOKENIZER = MessageTokenizer()
TOKENS = HarmonyTokens(**{field: TOKENIZER.encode(name)[0] for field, name in NAMES.items()})
CHANNELS = HarmonyChannels(
    TOKENS, token_bytes=TOKENIZER.token_bytes, encode=lambda text: list(text.encode())
)
WHOLE = (
    "<|channel|>analysis<|message|>hm<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
    "<|start|>assistant<|channel|>commentary to=functions.look "
    "<|constrain|>json<|message|>{}<|call|>"
)


def after(text, state=CHANNELS.opened):
    for token_id in TOKENIZER.encode(text) if isinstance(text, str) else text:
        state = CHANNELS.after(state, token_id)
    return state


def place(text):
    return CHANNELS.place(after(text))


def test_channel_and_recipient_are_those_of_the_header():
    assert place("<|channel|>analysis<|message|>").channel == "analysis"
    assert place(WHOLE[:-8]).channel == "commentary"
    assert place(WHOLE[:-8]).recipient == "functions.look"
    assert place(WHOLE).in_header


def test_recipient_before_the_channel_is_read():
    assert place(" to=functions.f<|channel|>commentary<|message|>").recipient == "functions.f"


def test_tokens_of_content_are_not_looked_at():
    state = after("<|channel|>final<|message|>")

    assert CHANNELS.after(state, ord("a")) is state
    assert ord("a") not in CHANNELS.watched(state)
    assert {TOKENS.end, TOKENS.return_, TOKENS.call, TOKENS.start} <= CHANNELS.watched(state)


def test_completion_may_begin_within_a_message():
    opened = after("<|channel|>analysis<|message|>")
    channels = HarmonyChannels(
        TOKENS, opened=opened, token_bytes=TOKENIZER.token_bytes, encode=TOKENIZER.encode
    )

    assert channels.place(channels.opened).channel == "analysis"


@pytest.mark.parametrize("end", range(len(TOKENIZER.encode(WHOLE)) + 1))
def test_final_is_opened_from_every_place_but_a_call_and_another_header(end):
    state = after(TOKENIZER.encode(WHOLE)[:end])
    ids = CHANNELS.to_final(state)

    if ids is None:
        is_call = CHANNELS.place(state).recipient is not None
        assert is_call or (state.kind == "header" and state.written)
    else:
        assert CHANNELS.place(after(ids, state)).channel == "final"
        assert CHANNELS.place(after(ids, state)).recipient is None


@pytest.mark.parametrize("header", ["<|channel|>final", "<|start|>assistant<|channel|>final"])
def test_a_header_of_final_is_completed_from_wherever_it_is(header):
    begin = Place(kind="between") if header.startswith("<|start|>") else CHANNELS.opened
    ids = TOKENIZER.encode(header)
    for end in range(bool(begin.kind == "between"), len(ids) + 1):
        state = after(ids[:end], begin)
        rest = CHANNELS.to_final(state)

        assert [*ids[:end], *(rest or ())] == TOKENIZER.encode(f"{header}<|message|>")


def test_reasoning_is_ended_up_to_the_name_of_the_next_channel():
    state = after("<|channel|>analysis<|message|>hm")

    assert TOKENIZER.decode(CHANNELS.to_header(state)) == "<|end|><|start|>assistant<|channel|>"
    assert CHANNELS.reopening(state) == ()
    assert CHANNELS.reopening(after("<|channel|>")) == (ord("a"),)


@pytest.mark.parametrize("seed", range(20))
def test_well_formed_messages_have_the_channels_of_the_scripted_model(seed):
    dice, scripted = random.Random(seed), message_channels()
    state, expected = CHANNELS.opened, scripted.opened
    for token_id in TOKENIZER.encode(well_formed(dice)):
        state, expected = CHANNELS.after(state, token_id), scripted.after(expected, token_id)
        assert CHANNELS.place(state) == scripted.place(expected)
        if CHANNELS.to_final(state) is not None and scripted.to_final(expected) is not None:
            assert list(CHANNELS.to_final(state)) == list(scripted.to_final(expected))


def well_formed(dice):
    messages = []
    for _ in range(dice.randint(1, 4)):
        channel = dice.choice(["analysis", "commentary", "final"])
        to = dice.choice(["", " to=functions.look"]) if channel == "commentary" else ""
        end = "<|call|>" if to else dice.choice(["<|end|>", "<|return|>"])
        messages.append(f"<|channel|>{channel}{to}<|message|>{dice.choice(['', 'a', 'hm'])}{end}")
    return "<|start|>assistant".join(messages)
