"""Where a completion opens calls, as the mod that enforces them and as the readers find it."""

import pytest
from concordance_inference.chat.reasoning_reader import ReasoningReader
from concordance_inference.generation import TextDelta
from concordance_inference.reasoning import Reasoning
from concordance_inference.tools.call_reader import CallReader
from concordance_inference.tools.layouts import KIMI_K3, LAYOUTS
from concordance_inference.tools.offer import AUTO, tool_offer
from concordance_inference.tools.opening import Opening
from concordance_inference.tools.tool_format import ToolFormat
from concordance_sdk import Added
from concordance_sdk.testing import ByteTokenizer
from concordance_sdk.text import CompletionText
from concordance_shared import FunctionSchema, Tool
from hypothesis import given, settings
from hypothesis import strategies as st

KIMI = ("<|open|>think<|sep|>", "<|close|>think<|sep|>")
COHERE = ("<|START_THINKING|>", "<|END_THINKING|>")
THINK = ("<think>", "</think>")
NAMES = [*sorted(LAYOUTS), *["llama3_json"] * len(LAYOUTS)]  # whose place matters most
TOOLS = [Tool(function=FunctionSchema(name="f", parameters={"type": "object"}))]


def reasonings():
    tags = st.sampled_from([THINK, KIMI, COHERE])
    known = st.builds(
        lambda tag, opened: Reasoning(tags=(tag,), opened=tag if opened else None),
        tags,
        st.booleans(),
    )
    return st.one_of(st.none(), known)


@st.composite
def texts(draw, layout, reasoning):
    """Tags, marks, markers and their parts in any order, often in the usual one."""
    marker = layout.marker
    parts = ["a", " ", "\n", "<", marker, marker, marker[:-2], marker[-2:], marker[0]]
    usual = ""
    if reasoning:
        (opening, closing), marks = reasoning.tags[0], reasoning.content_marks
        parts += [opening, closing, closing[:-1], *marks, *(mark[:-3] for mark in marks)]
        usual = opening + "a" + closing + "".join(marks[:1])
    some = st.lists(st.sampled_from(parts), max_size=6).map("".join)
    return draw(st.sampled_from(["", usual, usual])) + draw(some)


class Watched:
    """A completion that is watched."""

    def __init__(self, layout, reasoning):
        self._text = CompletionText()
        self._opening = Opening(self._text, layout, reasoning)
        self.at = None  # the position after the marker

    def become(self, length, text):
        """Cut the completion, and append a text."""
        added = Added(request_id="r", step=length, added_tokens=tuple(text.encode()), forced=True)
        self._text.follow(added, ByteTokenizer())
        if not self._opening.is_found:
            self.at = None
        if (cut := self._opening.find()) is not None:
            self.at = cut.at


def read_at(text, layout, reasoning):
    """The number of characters after which the readers begin a call."""
    offer = tool_offer(TOOLS, AUTO, ToolFormat(name="any", layout=layout))
    calls = CallReader(offer)
    reader = calls if reasoning is None else ReasoningReader(calls, reasoning)
    for i, character in enumerate(text):
        reader.add(TextDelta(text=character))
        if calls.has_marker:
            return i + 1
    return None


@settings(max_examples=400, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES), reasoning=reasonings())
def test_a_call_opens_where_the_readers_begin_to_read_it(data, name, reasoning):
    layout = LAYOUTS[name]
    if not layout.marker.isascii():
        return
    text = data.draw(texts(layout, reasoning))
    watched, found_at = Watched(layout, reasoning), None
    for i, character in enumerate(text):
        watched.become(i, character)
        if watched.at is not None and found_at is None:
            found_at = i + 1

    assert found_at == read_at(text, layout, reasoning)
    assert watched.at is None or text[: watched.at].endswith(layout.marker[-1])
    at_once = Watched(layout, reasoning)
    at_once.become(0, text)
    assert at_once.at == watched.at


@settings(max_examples=200, deadline=None)
@given(data=st.data(), reasoning=reasonings())
def test_a_text_that_was_cut_opens_calls_as_one_that_was_not(data, reasoning):
    layout = data.draw(st.sampled_from([LAYOUTS["json_tools"], LAYOUTS["llama3_json"], KIMI_K3]))
    watched, text = Watched(layout, reasoning), ""
    for _ in range(data.draw(st.integers(1, 5))):
        kept = data.draw(st.integers(0, len(text)))
        added = data.draw(texts(layout, reasoning)) or "a"
        text = text[:kept] + added
        watched.become(kept, added)

        fresh = Watched(layout, reasoning)
        fresh.become(0, text)
        assert watched.at == fresh.at


@pytest.mark.parametrize("layout", [LAYOUTS["llama3_json"], KIMI_K3])
def test_marks_of_the_content_do_not_hide_the_marker_after_them(layout):
    watched = Watched(layout, Reasoning(tags=(KIMI,)))
    before = f"{KIMI[0]}hm{KIMI[1]}<|open|>response<|sep|>"
    watched.become(0, before + layout.marker)

    assert watched.at == len(before + layout.marker)


def test_a_marker_is_found_at_the_start_of_a_long_text_that_was_cut():
    watched = Watched(LAYOUTS["json_tools"], Reasoning(tags=(THINK,)))
    for i in range(2000):
        watched.become(i, "a")
    watched.become(3, "<tool_call>")

    assert watched.at == 3 + len("<tool_call>")
