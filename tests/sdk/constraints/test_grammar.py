"""Any context-free language."""

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
def test_what_the_grammar_says_is_allowed(text):
    assert allows(SUMS, text)


@pytest.mark.parametrize("text", ["", "(1", "1+", "a"])
def test_what_it_does_not_say_is_not(text):
    assert not allows(SUMS, text)


@pytest.mark.parametrize("text", ["[(1 + 2);3]", "[12;(4)]"])
def test_a_text_is_allowed_however_tokens_cut_it(text):
    """Tokens go across the borders of the list and of the grammar in it."""
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
def test_a_grammar_that_swallows_what_stands_behind_it_is_refused(constraint):
    with pytest.raises(ConstraintError, match="swallows what stands behind it: .* line break"):
        compile_constraint(constraint, ByteTokenizer())


def test_a_swallowed_completion_is_refused_before_anything_is_generated():
    with pytest.raises(ConcordanceError, match="'ok'; begin what follows"):
        play(self_prompt_mod(prompt="Q ", strategy=WORD, completion="ok"), says="abcok")


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
def test_a_grammar_whose_end_can_be_seen_may_be_followed(constraint, text):
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
def test_what_is_no_grammar_is_refused_where_it_is_defined(lark, words):
    with pytest.raises(ConstraintError, match=words):
        Grammar(lark)


def test_the_error_names_the_constraint():
    with pytest.raises(ConstraintError, match=r"Grammar\(lark='start: foo'\) cannot be enforced"):
        Grammar("start: foo")


def test_what_needs_a_models_tokens_is_checked_with_them():
    grammar = Grammar("start: <|im_start|>")

    with pytest.raises(ConstraintError, match="unknown special token"):
        compile_constraint(grammar, ByteTokenizer())
