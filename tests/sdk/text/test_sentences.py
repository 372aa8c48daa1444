"""`SentenceCount`."""

import pytest
from concordance_sdk import Added
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import CompletionText, SentenceCount
from hypothesis import given
from hypothesis import strategies as st


def counting(generated):
    """The counts after each byte, and the final ends."""
    text = CompletionText()
    sentences = SentenceCount(text)
    counts = []
    for step, byte in enumerate(generated.encode()):
        event = Added(request_id="r", step=step, added_tokens=(byte,), forced=False)
        text.follow(event, ByteTokenizer())
        counts.append(sentences.count())
    return counts, sentences.ends


@pytest.mark.parametrize(
    ("generated", "ends"),
    [
        ("One. Two! Three? ", [4, 9, 16]),
        ("It is 3.5 km. ", [13]),
        ('He said "no." Then ', [13]),
        ("Wait... what?! ", [7, 14]),
        ("No end", []),
        ("No space.", []),
        ("\u4f60\u597d\u3002\u597d\uff01", [3, 5]),
        ("e.g. this", [4]),
    ],
)
def test_ends_of_sentences(generated, ends):
    assert counting(generated)[1] == ends


def test_sentence_counts_once_white_space_follows():
    assert counting("A. B")[0] == [0, 0, 1, 1]


def test_last_sentence_ends_with_the_completion():
    text = CompletionText()
    sentences = SentenceCount(text)
    event = Added(request_id="r", step=0, added_tokens=(*b"One. Two.", 256), forced=True)
    text.follow(event, ByteTokenizer())

    assert sentences.count() == 2


@given(st.lists(st.tuples(st.integers(0, 12), st.text("a. !", max_size=6)), max_size=12))
def test_count_is_a_function_of_the_text(moves):
    text, so_far = CompletionText(), ""
    sentences = SentenceCount(text)
    for back, put in moves:
        step = max(0, len(so_far) - back)
        so_far = so_far[:step] + put
        event = Added(request_id="r", step=step, added_tokens=tuple(put.encode()), forced=False)
        text.follow(event, ByteTokenizer())
        sentences.count()

    fresh = CompletionText()
    fresh_sentences = SentenceCount(fresh)
    event = Added(request_id="r", step=0, added_tokens=tuple(so_far.encode()), forced=False)
    fresh.follow(event, ByteTokenizer())

    assert sentences.count() == fresh_sentences.count()
    assert sentences.ends == fresh_sentences.ends
