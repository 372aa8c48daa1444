"""`WordBias`."""

import pytest
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import WordBias
from real_tokenizers import tokenizer_of

tokenizer = ByteTokenizer()


def test_bias_is_on_the_first_token_and_then_on_the_continuation():
    towards = WordBias(["yes"], strength=3.0)

    assert towards.after(b"oh", tokenizer) == dict.fromkeys(b" Yy", 3.0)
    assert towards.after(b"oh ye", tokenizer) == {ord("s"): 3.0}


def test_continuation_has_no_bias_if_the_word_has_not_begun():
    assert ord("s") not in WordBias(["yes"], strength=3.0).after(b"oh e", tokenizer)


def test_negative_bias_is_only_on_the_completing_token():
    away = WordBias(["yes"], strength=-3.0)

    assert away.after(b"", tokenizer) == {}
    assert away.after(b"ye", tokenizer) == {ord("s"): -3.0}


def test_word_of_one_token_always_has_a_bias():
    real = tokenizer_of("byte_level")
    (token_id,) = real.encode(" the")

    assert WordBias(["the"], strength=1.0).after([], real)[token_id] == 1.0


@pytest.mark.parametrize("words", [[], [""], ["a", ""]])
def test_empty_words_are_rejected(words):
    with pytest.raises(ValueError, match="at least one word"):
        WordBias(words, strength=1.0)
