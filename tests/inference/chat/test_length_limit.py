"""Texts that are far too long are refused before all of them are tokenized."""

from types import SimpleNamespace

import pytest
from concordance_inference.chat import length_limit
from concordance_inference.chat.length_limit import LengthLimit
from concordance_shared import ContextLengthError

CONTEXT = 100


class Tokenizer:
    """A tokenizer with a token for each four characters, which counts what it encodes."""

    def __init__(self):
        self.num_chars = 0
        self.hf = SimpleNamespace(get_vocab=lambda: {"a" * 16: 0, "b": 1})

    def encode_prompt(self, text):
        self.num_chars += len(text)
        return [0] * -(-len(text) // 4)


@pytest.fixture(name="tokenizer")
def _tokenizer():
    return Tokenizer()


def test_a_text_of_more_than_the_longest_tokens_is_refused_without_tokenizing(tokenizer):
    limit = LengthLimit(tokenizer, CONTEXT)
    limit.check(16 * CONTEXT)

    with pytest.raises(ContextLengthError, match="1601 characters") as error:
        limit.check_tokens("a" * (16 * CONTEXT + 1), param="prompt")
    assert error.value.param == "prompt"
    assert tokenizer.num_chars == 0


def test_a_short_text_is_left_to_the_tokenizer(tokenizer):
    LengthLimit(tokenizer, CONTEXT).check_tokens("a" * 8 * CONTEXT)

    assert tokenizer.num_chars == 0


def test_a_long_text_is_tokenized_only_until_it_is_too_long(tokenizer, monkeypatch):
    monkeypatch.setattr(length_limit, "_PIECE", 100)
    limit = LengthLimit(tokenizer, CONTEXT)

    with pytest.raises(ContextLengthError, match="more than 100 tokens"):
        limit.check_tokens("a" * 16 * CONTEXT)
    assert tokenizer.num_chars == 600  # 150 tokens; up to 125 may be an effect of the cuts


def test_without_a_context_nothing_is_refused(tokenizer):
    limit = LengthLimit(tokenizer, None)
    limit.check(10**9)
    limit.check_tokens("a" * 10**5)
    limit.check_count(10**9)


def test_a_count_of_tokens_may_be_the_context_and_not_more(tokenizer):
    limit = LengthLimit(tokenizer, CONTEXT)
    limit.check_count(CONTEXT)

    with pytest.raises(ContextLengthError) as error:
        limit.check_count(CONTEXT + 1)
    assert error.value.param == "messages"
    assert "shorten them" in str(error.value)
