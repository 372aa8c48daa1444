"""Words made likelier, token by token."""

import pytest
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import WordBias
from real_tokenizers import tokenizer_of

tokenizer = ByteTokenizer()


def test_the_begin_of_a_word_is_helped_until_it_is_begun_and_then_what_goes_on_with_it():
    towards = WordBias(["yes"], strength=3.0)

    assert towards.after(b"oh", tokenizer) == dict.fromkeys(b" Yy", 3.0)
    assert towards.after(b"oh ye", tokenizer) == {ord("s"): 3.0}


def test_what_was_not_begun_is_not_gone_on_with():
    assert ord("s") not in WordBias(["yes"], strength=3.0).after(b"oh e", tokenizer)


def test_away_from_a_word_holds_back_only_what_completes_it():
    away = WordBias(["yes"], strength=-3.0)

    assert away.after(b"", tokenizer) == {}
    assert away.after(b"ye", tokenizer) == {ord("s"): -3.0}


def test_a_word_of_one_token_is_helped_everywhere():
    real = tokenizer_of("byte_level")
    (token_id,) = real.encode(" the")

    assert WordBias(["the"], strength=1.0).after([], real)[token_id] == 1.0


@pytest.mark.parametrize("words", [[], [""], ["a", ""]])
def test_no_word_is_refused(words):
    with pytest.raises(ValueError, match="at least one word"):
        WordBias(words, strength=1.0)
