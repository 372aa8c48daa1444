"""`Grammar`: Lark grammars of authors."""

import pytest
from concordance_sdk.constraints import (
    ChoicesStrat,
    Grammar,
    JsonSchema,
    ListStrat,
    Regex,
    allows,
    compile_constraint,
)
from concordance_sdk.self_prompt import self_prompt_mod
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import ConcordanceError, ConstraintError
from vocabularies import smollm

SUMS = Grammar(
    r"""
start: sum
sum: term ("+" term)*
term: NUMBER | "(" sum ")"
NUMBER: /[0-9]+/
%ignore / +/
"""
)


@pytest.mark.parametrize("text", ["1", "(1)", "((2 + 3)+4)", "1 + (2)"])
def test_texts_of_the_grammar_are_allowed(text):
    assert allows(SUMS, text)


@pytest.mark.parametrize("text", ["", "(1", "1+", "a"])
def test_other_texts_are_not_allowed(text):
    assert not allows(SUMS, text)


@pytest.mark.parametrize("text", ["[(1 + 2);3]", "[12;(4)]"])
def test_text_is_allowed_in_any_tokenization(text):
    """Tokens span the borders between the list and the grammar in it."""
    constraint = ListStrat(SUMS, open="[", close="]", sep=";")
    tokenizer = smollm()
    for token_ids in (tokenizer.encode(text), [t for c in text for t in tokenizer.encode(c)]):
        matcher = compile_constraint(constraint, tokenizer).start()
        matcher.extend(token_ids)

        assert matcher.can_stop


WORD = Grammar("start: /[a-z]+/")


@pytest.mark.parametrize(
    "constraint",
    [
        ListStrat([WORD], end_with="ok"),
        ListStrat(WORD, sep="and"),
        ListStrat([ChoicesStrat(["a: "]), ListStrat([WORD], sep="")], sep="", close="z"),
        ListStrat([WORD, Regex("[a-z0-9]+")], sep=""),
        ListStrat([Grammar('start: "a" | "ab"')], end_with="b"),
        ListStrat([SUMS], end_with=" "),
    ],
)
def test_grammar_that_consumes_what_follows_it_is_rejected(constraint):
    with pytest.raises(ConstraintError, match="consumes what follows it: .* line break"):
        compile_constraint(constraint, ByteTokenizer())


def test_grammar_that_consumes_the_following_text_is_rejected_before_generation():
    with pytest.raises(ConcordanceError, match="'ok'; begin the following text"):
        play(self_prompt_mod(prompt="Q ", constraint=WORD, suffix="ok"), says="abcok")


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (ListStrat([WORD], end_with="\n"), "abc\n"),
        (ListStrat(WORD, sep=", "), "abc, d"),
        (ListStrat(WORD, sep="-", wrap="`"), "`abc`-`d`"),
        (ListStrat([Grammar('start: /[a-z]+/ "!"')], end_with="ok"), "abc!ok"),
        (ListStrat([Grammar('start: W (";" W)*\nW: /[a-z]+/')], end_with=";"), "a;b;"),
        (ListStrat([WORD, JsonSchema({"type": "object"})], sep=""), "abc{}"),
    ],
)
def test_text_may_follow_a_grammar_with_an_unambiguous_end(constraint, text):
    assert allows(constraint, text)


@pytest.mark.parametrize(
    ("lark", "words"),
    [
        ("start: foo", 'unknown name: "foo"'),
        ('start: "a', "lexer error"),
        ("", "no start rule"),
        ('start: T\nT: "a" & "b"', "no text at all"),
        (None, "not None"),
    ],
)
def test_invalid_grammar_is_rejected_where_it_is_defined(lark, words):
    with pytest.raises(ConstraintError, match=words):
        Grammar(lark)


def test_error_names_the_constraint():
    with pytest.raises(ConstraintError, match=r"Grammar\(lark='start: foo'\) cannot be enforced"):
        Grammar("start: foo")


def test_special_tokens_of_a_grammar_are_checked_against_the_tokenizer():
    grammar = Grammar("start: <|im_start|>")

    with pytest.raises(ConstraintError, match="unknown special token"):
        compile_constraint(grammar, ByteTokenizer())
