"""Where an answer stands depends on its tokens alone, not on the way they came."""

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
    """All that can be seen of a matcher."""
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
def test_after_any_steps_and_steps_back_it_is_as_a_fresh_one_given_what_is_left(
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
    """One random step: an allowed token, the forced ones, or the end where there is one."""
    if matcher.is_told:
        return
    forced = matcher.forced()
    if forced and dice.random() < 0.5:
        matcher.extend(forced)
        return
    ids = allowed(matcher.mask(), tokenizer.vocab_size)
    matcher.extend([int(ids[dice.randrange(len(ids))])])


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_mask_is_exactly_the_tokens_that_may_come_next(name):
    compiled = compile_constraint(CONSTRAINTS[name], BYTES)
    for seed in range(5):
        matcher = wander(compiled.start(), BYTES, random.Random(seed), max_tokens=3 + 4 * seed)
        if matcher.is_told:
            matcher.rollback(1)
        accepted = [i for i in range(BYTES.vocab_size) if matcher.accepts([i])]

        assert allowed(matcher.mask(), BYTES.vocab_size).tolist() == accepted


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_the_end_may_come_exactly_where_the_answer_can_stop(name):
    compiled = compile_constraint(CONSTRAINTS[name], BYTES)
    matcher = compiled.start()
    dice = random.Random(1)
    for _ in range(60):
        if matcher.is_told:
            break
        ends = EOS in allowed(matcher.mask(), BYTES.vocab_size)
        assert ends == matcher.can_stop == bool(matcher.accepts([EOS]))
        step_on(matcher, BYTES, dice)


def test_the_end_is_no_part_of_the_answer_and_can_be_taken_back():
    matcher = compile_constraint(CONSTRAINTS["choices"], BYTES).start()
    matcher.extend([*b"on", EOS])
    assert (matcher.text, matcher.is_complete, matcher.is_told) == ("on", True, True)
    assert matcher.accepts(b"e") == 0

    matcher.rollback(1)
    assert (matcher.is_complete, matcher.can_stop, matcher.accepts(b"e")) == (False, True, 1)

    matcher.extend([*b"ce", EOS])
    matcher.rollback(3)
    assert matcher.text == "on"


def test_a_refused_token_changes_nothing_and_the_error_says_where_and_what():
    matcher = compile_constraint(CONSTRAINTS["choices"], BYTES).start()
    matcher.extend(b"on")
    before = state(matcher)

    with pytest.raises(ConstraintError, match=r"ChoicesStrat.*does not allow 'x' behind 'onc'"):
        matcher.extend(b"cx")

    assert state(matcher) == before


def test_forced_tokens_are_those_that_the_text_is_spelled_with():
    tokenizer = smollm()
    matcher = compile_constraint(ChoicesStrat(["the capital of France"]), tokenizer).start()

    assert matcher.forced() == tokenizer.encode("the capital of France")


def test_what_is_forced_stops_where_a_longer_token_could_stand():
    tokenizer = smollm()
    matcher = compile_constraint(Regex("the [a-z]+"), tokenizer).start()

    assert tokenizer.decode(matcher.forced()) == "the"  # the space is one token with a word


def test_a_value_and_an_answer_are_what_the_constraint_makes_of_the_text():
    matcher = compile_constraint(CharsStrat(CharsMode.JS_FLOAT, stop=";"), BYTES).start()
    matcher.extend(b"2.50;")

    assert (matcher.text, matcher.answer, matcher.value) == ("2.50;", "2.50", 2.5)


def test_the_text_of_half_a_character_is_no_text_yet():
    matcher = compile_constraint(Regex(".+"), BYTES).start()
    matcher.extend("é".encode()[:1])

    assert matcher.text == "\ufffd"
    assert not matcher.can_stop


@pytest.mark.model
@pytest.mark.parametrize("seed", range(3))
def test_two_hundred_thousand_tokens_write_documents_that_fit(seed):
    tokenizer = o200k()
    constraint = JsonSchema(SCHEMA)
    matcher = wander(
        compile_constraint(constraint, tokenizer).start(), tokenizer, random.Random(seed)
    )

    assert matcher.is_complete
    assert set(constraint.value(matcher.text)) == set(SCHEMA["required"])
