"""Splitting completions into reasoning and content."""

import pytest
from concordance_inference.chat.message_parts import ContentText, ReasoningText, joined
from concordance_inference.chat.message_reader import PlainReader, read_message
from concordance_inference.chat.reasoning_reader import ReasoningReader
from concordance_inference.generation import TextDelta
from concordance_inference.reasoning import REASONING_TAGS, Reasoning
from fake_engine import completed
from hypothesis import given
from hypothesis import strategies as st

THINK = ("<think>", "</think>")
TAGGED = Reasoning(tags=(THINK,))
OPENED = Reasoning(tags=(THINK,), opened=THINK)


def read(text, reasoning=TAGGED, place="apart"):
    message = read_message(ReasoningReader(PlainReader(), reasoning, place), completed(text))
    return message.reasoning, message.content


def streamed(pieces, reasoning=TAGGED, place="apart"):
    reader = ReasoningReader(PlainReader(), reasoning, place)
    parts = [part for piece in pieces for part in reader.add(TextDelta(text=piece))]
    return [*parts, *reader.end(completed("".join(pieces)))]


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("<think>so</think>4", "so", "4"),
        ("<think>\nso\n</think>\n\n4 \n", "so", "4 \n"),
        ("\n<think>so</think>4", "so", "4"),
        ("<think>\n\n</think>\n\n4", "", "4"),
        ("<think>so, a </thin tag", "so, a </thin tag", ""),
        ("<think>so \n", "so", ""),
        ("<think>so</think> \n", "so", ""),
        ("<think>a</think>b<think>c</think>d", "a", "b<think>c</think>d"),
        (" 4 <think>", "", " 4 <think>"),
        ("<thin", "", "<thin"),
        ("<thinking>4", "", "<thinking>4"),
        ("", "", ""),
    ],
)
def test_tags_and_the_white_space_around_them_are_dropped(text, reasoning, content):
    assert read(text) == (reasoning, content)


@pytest.mark.parametrize(
    ("text", "reasoning", "content"),
    [
        ("so</think>4", "so", "4"),
        ("\n<think>\nso</think>4", "so", "4"),
        ("</think>4", "", "4"),
        ("so", "so", ""),
    ],
)
def test_a_completion_begins_inside_the_reasoning_that_its_prompt_opened(text, reasoning, content):
    assert read(text, OPENED) == (reasoning, content)


@pytest.mark.parametrize("tags", REASONING_TAGS, ids=lambda tags: tags[0])
def test_the_tags_of_each_family_are_known(tags):
    opening, closing = tags
    known = Reasoning(tags=REASONING_TAGS)

    assert read(f"{opening}\nso{closing}4", known) == ("so", "4")


def test_marks_around_the_content_of_a_reasoning_model_are_dropped():
    tags = Reasoning(tags=(("<|open|>think<|sep|>", "<|close|>think<|sep|>"),))
    said = (
        "<|open|>think<|sep|>so<|close|>think<|sep|>"
        "<|open|>response<|sep|>4<|close|>response<|sep|>"
    )

    assert read(said, tags) == ("so", "4")
    assert read("<|open|>response<|sep|>4", tags) == ("", "4")
    assert read("<|open|>response<|sep|>4", TAGGED) == ("", "<|open|>response<|sep|>4")


def test_text_is_held_back_only_while_it_may_be_a_tag():
    assert streamed(
        ["<", "th", "ink>", "so ", "it", " </", "b", " </think", ">", "\n", "4", "<"]
    ) == [
        ReasoningText("so"),
        ReasoningText(" it"),
        ReasoningText(" </b"),
        ContentText("4"),
        ContentText("<"),
    ]


def test_reasoning_can_be_sent_at_once_or_not_at_all():
    pieces = ["<think>", "so ", "it", "</think>", "4"]

    assert streamed(pieces, place="apart at once") == [ReasoningText("so it"), ContentText("4")]
    assert streamed(pieces, place="nowhere") == [ContentText("4")]
    assert streamed(pieces[:3], place="apart at once") == [ReasoningText("so it")]


def test_reasoning_can_be_left_in_the_content_as_the_model_wrote_it():
    text = "\n<think>\nso \n</think>\n\n4"

    assert read(text, place="content") == ("", text)


TEXTS = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "think", ">", " ", "\n" * 300, "so", "\n"])
).map("".join)


@given(TEXTS, st.lists(st.integers(0, 60)), st.sampled_from([TAGGED, OPENED]))
def test_any_split_of_a_text_gives_the_same_message(text, cuts, reasoning):
    ends = sorted({min(cut, len(text)) for cut in [*cuts, len(text)]})
    pieces = [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

    message = joined(streamed(pieces, reasoning))
    assert (message.reasoning, message.content) == read(text, reasoning)
    assert joined(streamed(pieces, reasoning, "content")).content == text
