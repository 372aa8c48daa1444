"""`ReasoningSpan`."""

import pytest
from concordance_sdk import Added, Prefilled
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import ReasoningSpan
from concordance_shared import ContextInfo
from real_tokenizers import tokenizer_of

tokenizer = ByteTokenizer()


def prompted(prompt, *tags):
    span = ReasoningSpan(*tags)
    info = ContextInfo(tokens=tuple(tokenizer.encode(prompt)))
    span.follow(Prefilled(request_id="r", step=0, max_steps=99, context_info=info), tokenizer)
    return span


def say(span, generated, step=None):
    step = len(span.text.token_ids) if step is None else step
    event = Added(
        request_id="r", step=step, added_tokens=tuple(tokenizer.encode(generated)), forced=False
    )
    span.follow(event, tokenizer)
    return span


def test_tags_open_and_close_the_reasoning():
    span = prompted("Q")
    assert not span.is_open
    assert say(span, "<think>hm").is_open
    assert span.num_tokens == 2
    assert not say(span, "</think>so").is_open
    assert span.num_tokens == 0
    assert span.closing.start == 9


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("Q<think>\n", True),
        ("Q<think>a</think>", False),
        ("Q", False),
        ("What is <think>?\nassistant:", False),
        ("<think>a</think><think>", True),
    ],
)
def test_prompt_can_open_the_reasoning(prompt, is_open):
    span = prompted(prompt)

    assert span.is_open is is_open
    assert say(span, "abc").num_tokens == (3 if is_open else 0)


def test_reasoning_can_open_again():
    span = say(prompted(""), "<think>a</think>b<think>cd")

    assert span.is_open
    assert span.num_tokens == 2
    assert span.closing is None


def test_backtracked_tag_does_not_count():
    span = say(prompted(""), "<think>ab</think>")
    say(span, "c", step=9)

    assert span.is_open
    assert span.num_tokens == 3


def test_tags_can_be_special_tokens():
    real = tokenizer_of("byte_level")
    span = ReasoningSpan("<think>", "<eos>")
    token_ids = (*real.encode("<think>"), *real.encode("so"))
    span.follow(Added(request_id="r", step=0, added_tokens=token_ids, forced=False), real)

    assert real.decode(token_ids, skip_special_tokens=True) == "so"
    assert span.num_tokens == len(token_ids) - 1


def test_length_of_a_partial_closing_tag():
    assert say(prompted(""), "<think>a</thi").partial_close_len == 5
    assert say(prompted(""), "<think>a").partial_close_len == 0


@pytest.mark.parametrize("tags", [("", "x"), ("x", ""), ("x", "x")])
def test_equal_or_empty_tags_are_rejected(tags):
    with pytest.raises(ValueError, match="tags must differ|none of which is empty"):
        ReasoningSpan(*tags)
