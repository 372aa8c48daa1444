"""Any context-free language."""

import pytest
from concordance_sdk.constraints import Grammar, ListStrat, allows, compile_constraint
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
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
