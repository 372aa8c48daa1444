"""The state of a `Matcher` depends only on its tokens, not on how they were added."""

import random

import pytest
from concordance_sdk.constraints import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    JsonSchema,
    ListStrat,
    Regex,
    UntilEndType,
    UntilStrat,
    compile_constraint,
)
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabularies import o200k, smollm
from wandering import allowed, wander

EOS = 256
BYTES = ByteTokenizer()
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "size": {"enum": ["S", "SM", "XL"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["name", "size", "count", "tags"],
    "additionalProperties": False,
}
CONSTRAINTS = {
    "choices": ChoicesStrat(["on", "one", "once", "off"]),
    "until": UntilStrat("<a>", UntilEndType.TAG, "</a>"),
    "chars": CharsStrat(CharsMode.JS_FLOAT, min=2, stop=9),
    "list": ListStrat(
        CharsStrat(CharsMode.ALPHA, min=1, stop=3), open="[", close="]", end_with="!"
    ),
    "json": JsonSchema(SCHEMA),
    "mixed": ListStrat([ChoicesStrat(["f", "g"]), JsonSchema(SCHEMA)], sep="(", end_with=")"),
    "regex": Regex("(ab|a)*c?"),
}
TOKENIZERS = {"bytes": lambda: BYTES, "smollm": smollm}


def state(matcher):
    """The observable state of a matcher."""
    return (
        matcher.mask().rstrip(b"\0"),
        matcher.forced(),
        matcher.can_stop,
        matcher.is_complete,
        matcher.text,
    )


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("name", CONSTRAINTS)
@settings(deadline=None, max_examples=12)
@given(seed=st.integers(0, 2**32), moves=st.lists(st.integers(-6, 5), max_size=25))
def test_after_any_extend_and_rollback_it_equals_a_new_matcher_with_the_same_tokens(
    tokenizer, name, seed, moves
):
    tokenizer = TOKENIZERS[tokenizer]()
    dice = random.Random(seed)
    compiled = compile_constraint(CONSTRAINTS[name], tokenizer)
    matcher = compiled.start()
    for move in moves:
        if move < 0:
            matcher.rollback(min(-move, matcher.num_tokens))
        for _ in range(max(move, 0)):
            step_on(matcher, tokenizer, dice)
        fresh = compiled.start()
        fresh.extend(matcher.token_ids)

        assert state(matcher) == state(fresh)


def step_on(matcher, tokenizer, dice):
    """One random step: an allowed token, the forced ones, or an end-of-sequence token."""
    if matcher.is_ended_by_eos:
        return
    forced = matcher.forced()
    if forced and dice.random() < 0.5:
        matcher.extend(forced)
        return
    ids = allowed(matcher.mask(), tokenizer.vocab_size)
    matcher.extend([int(ids[dice.randrange(len(ids))])])


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_mask_is_exactly_the_accepted_tokens(name):
    compiled = compile_constraint(CONSTRAINTS[name], BYTES)
    for seed in range(5):
        matcher = wander(compiled.start(), BYTES, random.Random(seed), max_tokens=3 + 4 * seed)
        if matcher.is_ended_by_eos:
            matcher.rollback(1)
        accepted = [i for i in range(BYTES.vocab_size) if matcher.accepts([i])]

        assert allowed(matcher.mask(), BYTES.vocab_size).tolist() == accepted


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_eos_is_allowed_exactly_where_the_text_can_stop(name):
    compiled = compile_constraint(CONSTRAINTS[name], BYTES)
    matcher = compiled.start()
    dice = random.Random(1)
    for _ in range(60):
        if matcher.is_ended_by_eos:
            break
        ends = EOS in allowed(matcher.mask(), BYTES.vocab_size)
        assert ends == matcher.can_stop == bool(matcher.accepts([EOS]))
        step_on(matcher, BYTES, dice)


def test_eos_is_not_in_the_answer_and_can_be_rolled_back():
    matcher = compile_constraint(CONSTRAINTS["choices"], BYTES).start()
    matcher.extend([*b"on", EOS])
    assert (matcher.text, matcher.is_complete, matcher.is_ended_by_eos) == ("on", True, True)
    assert matcher.accepts(b"e") == 0

    matcher.rollback(1)
    assert (matcher.is_complete, matcher.can_stop, matcher.accepts(b"e")) == (False, True, 1)

    matcher.extend([*b"ce", EOS])
    matcher.rollback(3)
    assert matcher.text == "on"


def test_rejected_token_changes_nothing_and_the_error_names_it_and_its_position():
    matcher = compile_constraint(CONSTRAINTS["choices"], BYTES).start()
    matcher.extend(b"on")
    before = state(matcher)

    with pytest.raises(ConstraintError, match=r"ChoicesStrat.*does not allow 'x' after 'onc'"):
        matcher.extend(b"cx")

    assert state(matcher) == before


def test_forced_tokens_are_the_tokenizers_encoding_of_the_text():
    tokenizer = smollm()
    matcher = compile_constraint(ChoicesStrat(["the capital of France"]), tokenizer).start()

    assert matcher.forced() == tokenizer.encode("the capital of France")


def test_forced_tokens_stop_where_a_longer_token_is_possible():
    tokenizer = smollm()
    matcher = compile_constraint(Regex("the [a-z]+"), tokenizer).start()

    assert tokenizer.decode(matcher.forced()) == "the"  # the space is one token with a word


def test_value_and_answer_come_from_the_constraint():
    matcher = compile_constraint(CharsStrat(CharsMode.JS_FLOAT, stop=";"), BYTES).start()
    matcher.extend(b"2.50;")

    assert (matcher.text, matcher.answer, matcher.value) == ("2.50;", "2.50", 2.5)


def test_text_of_an_incomplete_character_is_a_replacement_character():
    matcher = compile_constraint(Regex(".+"), BYTES).start()
    matcher.extend("é".encode()[:1])

    assert matcher.text == "\ufffd"
    assert not matcher.can_stop


@pytest.mark.model
@pytest.mark.parametrize("seed", range(3))
def test_vocabulary_of_two_hundred_thousand_tokens_writes_valid_documents(seed):
    tokenizer = o200k()
    constraint = JsonSchema(SCHEMA)
    matcher = wander(
        compile_constraint(constraint, tokenizer).start(), tokenizer, random.Random(seed)
    )

    assert matcher.is_complete
    assert set(constraint.value(matcher.text)) == set(SCHEMA["required"])
