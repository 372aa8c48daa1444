"""The header guard. The judge is the parser of openai-harmony."""

import random
from functools import cache

import o200k
import pytest
from concordance_inference.harmony.encoding import harmony_encoding
from concordance_inference.harmony.header_guard import HeaderGuard
from concordance_inference.harmony.headers import LegalHeaders, Recipient
from concordance_inference.harmony.vocabulary import harmony_tokens
from concordance_inference.token_rules import follow

IDS = {name: token_id for token_id, name in o200k.SPECIAL.items()}
TOKENS = harmony_tokens(IDS)
SPECIAL = frozenset(range(o200k.NUM_TEXT_IDS, o200k.VOCAB_SIZE))
PROMPT = (200006, 1428, 200008, 12194, 200007, 200006, 173781)  # a message of a user, and a header

TOOLS = tuple(
    Recipient(name=f"functions.{name}") for name in ("get_weather", "get_weather_now", "a", "a.b/c")
)
ALL = LegalHeaders(channels=("analysis", "commentary", "final"), recipients=TOOLS)


@cache
def encoding():
    return harmony_encoding(o200k.vocabulary())


def encode(text):
    return encoding().encode(text, disallowed_special=())


def guard_of(headers):
    return HeaderGuard(headers, TOKENS, encode, SPECIAL)


def parsed(token_ids):
    from openai_harmony import Role

    ids = [i for i in token_ids if i != IDS["<|endoftext|>"]]
    return encoding().parse_messages_from_completion_tokens(ids, Role.ASSISTANT, strict=True)


def random_completion(guard, dice, *, max_tokens=80, p_special=0.3):
    """Draw tokens as a model would that knows nothing, but likes special tokens."""
    state, ids = guard.start(PROMPT), []
    while len(ids) < max_tokens:
        legal = guard.legal(state)
        while True:
            special = dice.random() < p_special
            token_id = dice.choice([*SPECIAL][:20]) if special else dice.randrange(199_998)
            if not legal.is_complement:
                token_id = dice.choice(sorted(legal.token_ids))
            if token_id in legal:
                break
        ids.append(token_id)
        state = guard.after(state, token_id)
        if token_id in TOKENS.stop_ids:
            return ids, state
    return ids, state


@pytest.mark.parametrize(
    "headers",
    [
        ALL,
        LegalHeaders(),
        LegalHeaders(channels=("analysis", "commentary"), recipients=TOOLS[:1]),
        LegalHeaders(channels=("final",)),
    ],
)
def test_the_library_parses_what_the_guard_allows(headers):
    dice = random.Random(7)
    guard = guard_of(headers)
    names = {tool.name for tool in headers.recipients}
    seen = set()
    for _ in range(400):
        ids, state = random_completion(guard, dice)
        if state.kind is None and ids[-1] not in TOKENS.stop_ids:
            continue  # cut within a header, which the library cannot parse
        for message in parsed(ids):
            assert message.channel in (*headers.channels, "commentary")
            assert message.recipient is None or message.recipient in names
            assert message.content_type in (None, "<|constrain|>json", "json", "code")
            assert message.recipient or message.channel in headers.channels
            seen.add((message.channel, message.recipient))
    assert {channel for channel, to in seen if to is None} == set(headers.channels)
    assert {to for _, to in seen if to} == names


def test_the_forms_that_the_model_writes_are_legal():
    state = guard_of(ALL).start(PROMPT)
    for header in (
        "<|channel|>final<|message|>",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant<|channel|>"
        "commentary to=functions.get_weather <|constrain|>json<|message|>{}",
        "<|channel|>commentary to=functions.a.b/c code<|message|>{}",
        " to=functions.get_weather_now<|channel|>commentary json<|message|>{}",
        "<|channel|>commentary to=functions.a<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.a<|message|>",
    ):
        guard, at = guard_of(ALL), state
        at = guard.start(PROMPT)
        for token_id in encoding().encode(header, allowed_special="all"):
            assert token_id in guard.legal(at), (header, token_id)
            at = guard.after(at, token_id)
        assert at.kind


def test_each_message_ends_with_its_own_token():
    guard = guard_of(ALL)
    for header, closing in (
        ("<|channel|>analysis<|message|>", "<|end|>"),
        ("<|channel|>commentary<|message|>", "<|end|>"),
        ("<|channel|>final<|message|>", "<|return|>"),
        ("<|channel|>commentary to=functions.a <|constrain|>json<|message|>", "<|call|>"),
    ):
        ids = encoding().encode(header, allowed_special="all")
        legal = guard.legal(follow(guard, guard.start(PROMPT), ids))
        assert [name for name in IDS if IDS[name] in legal] == [closing]
        assert 1000 in legal
        assert 200100 not in legal


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_prompt_may_end_anywhere_in_a_header(cut):
    header = encoding().encode(
        "<|channel|>commentary to=functions.a <|constrain|>json<|message|>", allowed_special="all"
    )
    guard = guard_of(ALL)
    at = guard.start([*PROMPT, *header[:cut]])
    assert header[cut : cut + 1] == [] or header[cut] in guard.legal(at)


def test_a_mod_that_forces_another_header_leaves_the_rest_legal():
    guard = guard_of(LegalHeaders())
    forced = encoding().encode(
        "<|channel|>commentary to=python code<|message|>", allowed_special="all"
    )
    at = follow(guard, guard.start(PROMPT), forced)
    assert at.kind == "other"
    assert IDS["<|call|>"] in guard.legal(at)
    assert IDS["<|start|>"] not in guard.legal(at)
    at = guard.after(at, IDS["<|end|>"])
    assert guard.legal(at).only == IDS["<|start|>"]
    assert guard.legal(follow(guard, guard.start(PROMPT), forced[:2])) is None


def test_a_prompt_without_a_message_is_not_guarded_until_one_begins():
    guard = guard_of(ALL)
    at = guard.start([1, 2, 3])
    assert guard.legal(at) is None
    assert guard.legal(guard.after(at, IDS["<|start|>"])).only == 173781
