"""Splitting the text of a completion into pieces."""

from concordance_inference.chat.text_split import TextSplit
from concordance_inference.reasoning import Reasoning
from hypothesis import given
from hypothesis import strategies as st

THINK = ("<think>", "</think>")
OPENED = Reasoning(tags=(THINK,), opened=THINK)

TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", " ", "\n" * 300, "so", "\n"])
).map("".join)


@given(TEXTS)
def test_the_pieces_of_a_text_are_the_whole_text(text):
    split = TextSplit(OPENED)

    assert "".join(piece.text for piece in [*split.add(text), *split.end()]) == text


@given(TEXTS, TEXTS, TEXTS)
def test_a_copy_grows_by_itself(before, one, other):
    split = TextSplit(OPENED)
    split.add(before)
    copied = split.copy()
    copied.add(other)
    whole = TextSplit(OPENED)
    whole.add(before)

    assert [*split.add(one), *split.end()] == [*whole.add(one), *whole.end()]
