"""Constraints at the start of a text are enforced on the decoded text."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from concordance_sdk.constraints import ChoicesStrat, Regex, compile_constraint, constrain
from concordance_sdk.testing import FolderTokenizer, play
from hypothesis import given, settings
from hypothesis import strategies as st
from real_tokenizers import write_tokenizer
from token_families import FAMILIES
from wandering import allowed

NAMES = [
    "llama2",
    "llama2_metaspace",
    "strip_two",
    "t5_first",
    "unigram",
    "gemma",
    "gpt2",
    "no_bytes",
]
texts = st.text(st.sampled_from("the a b\né"), min_size=1, max_size=6)


@cache
def tokenizer_of(name):
    with TemporaryDirectory() as folder:
        return FolderTokenizer(write_tokenizer(Path(folder), FAMILIES[name], "</s>"))


def read(tokenizer, token_ids):
    return tokenizer.decode(token_ids, skip_special_tokens=True)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=8)
@given(choices=st.lists(texts, min_size=1, max_size=3), data=st.data())
def test_allowed_tokens_decode_to_a_choice(name, choices, data):
    tokenizer = tokenizer_of(name)
    matcher = compile_constraint(ChoicesStrat(choices), tokenizer).start(at_start=True)
    rollbacks = 2
    while not matcher.is_complete:
        may = [int(i) for i in allowed(matcher.mask(), tokenizer.vocab_size)]
        if data.draw(st.booleans()) and (forced := matcher.forced()):
            matcher.extend(forced)
            continue
        chosen = data.draw(st.sampled_from(may))
        matcher.extend([chosen])
        if rollbacks and data.draw(st.booleans()):
            matcher.rollback(1)
            rollbacks -= 1
    ids = [i for i in matcher.token_ids if i not in tokenizer.eos_token_ids]

    assert matcher.is_complete
    assert matcher.text == read(tokenizer, ids)
    assert matcher.text in choices


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=8)
@given(choices=st.lists(texts, min_size=1, max_size=3))
def test_first_token_may_be_any_that_decodes_to_a_prefix_of_a_choice(name, choices):
    tokenizer = tokenizer_of(name)
    matcher = compile_constraint(ChoicesStrat(choices), tokenizer).start(at_start=True)
    if matcher.forced():
        return  # then nothing else is allowed
    may = {int(i) for i in allowed(matcher.mask(), tokenizer.vocab_size)}
    texts = {i: read(tokenizer, [i]) for i in range(tokenizer.vocab_size)}
    # Of tokens with the same bytes, llguidance allows one: `a` and not `<0x61>`.
    names = {i: FAMILIES[name].id_to_token(i) for i in texts}
    plain = {
        i: text
        for i, text in texts.items()
        if text and "\ufffd" not in text and not names[i].startswith("<")
    }

    assert {i for i in plain if i in may} == {
        i for i, text in plain.items() if any(choice.startswith(text) for choice in choices)
    }


def ids(tokenizer, *names):
    return [FAMILIES["llama2"].token_to_id(name) for name in names]


def test_token_with_the_dropped_space_may_begin_a_choice():
    tokenizer = tokenizer_of("llama2")
    compiled = compile_constraint(ChoicesStrat(["the", "that"]), tokenizer)
    (the,) = ids(tokenizer, "▁the")

    assert the in allowed(compiled.start(at_start=True).mask(), tokenizer.vocab_size)
    assert the not in allowed(compiled.start().mask(), tokenizer.vocab_size)


def test_choice_keeps_its_leading_space():
    tokenizer = tokenizer_of("llama2")
    matcher = compile_constraint(ChoicesStrat([" the"]), tokenizer).start(at_start=True)
    may = allowed(matcher.mask(), tokenizer.vocab_size)

    assert not set(ids(tokenizer, "▁the")) & {*may}
    assert {*ids(tokenizer, "▁", "▁▁")} <= {*may}
    matcher.extend(matcher.forced())
    assert read(tokenizer, matcher.token_ids) == " the"


def test_forced_tokens_at_the_start_are_the_tokenizers_encoding():
    tokenizer = tokenizer_of("llama2")
    matcher = compile_constraint(ChoicesStrat(["the"]), tokenizer).start(at_start=True)

    assert matcher.forced() == ids(tokenizer, "▁the")


@pytest.mark.parametrize("choice", ["the", " the", "  a"])
@pytest.mark.parametrize("name", ["llama2", "t5_first", "gemma", "gpt2"])
@pytest.mark.parametrize("says", ["", "x", "the"])
def test_completion_is_a_choice_for_any_model_output(name, choice, says):
    one_of = constrain(ChoicesStrat([choice, choice + " b"]))
    played = play(one_of, says=says, tokenizer=tokenizer_of(name))

    assert played.text in (choice, choice + " b")


def test_regex_at_the_start_matches_the_decoded_text():
    tokenizer = tokenizer_of("llama2")
    matcher = compile_constraint(Regex(r"[a-z]+"), tokenizer).start(at_start=True)
    matcher.extend(ids(tokenizer, "▁not", "a"))

    assert matcher.text == "nota"
    assert matcher.can_stop
    matcher.rollback(2)
    assert matcher.accepts(ids(tokenizer, "▁", "a")) == 2
    assert matcher.accepts(ids(tokenizer, "▁▁", "a")) == 0
