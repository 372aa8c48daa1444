"""What is shown of a message is limited; what is generated is not."""

from concordance_inference.chat.about_reading import about_reading
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallEnded,
    ContentText,
    ReasoningText,
    joined,
)
from concordance_inference.chat.truncated_reader import TruncatedReader
from concordance_inference.generation import TextDelta
from fake_engine import completed


class Scripted:
    """Returns the given parts, one for each delta, and a call at the end."""

    def __init__(self, *parts):
        self.parts = [*parts]

    def add(self, delta):
        return [self.parts.pop(0)]

    def end(self, completed):
        return [CallBegun(0, "id", "f"), CallArguments(0, '{"a":1}'), CallEnded(0)]


def read(*parts, **limits):
    reader = TruncatedReader(Scripted(*parts), **limits)
    read = [part for _ in parts for part in reader.add(TextDelta(text=""))]
    return joined([*read, *reader.end(completed())]), about_reading(reader)


def test_a_text_is_shown_up_to_the_limit_and_its_cut_is_marked():
    parts = [
        ReasoningText("thinking"),
        ContentText("Hel"),
        ContentText("lo, you"),
        ContentText("!"),
    ]
    message, about = read(*parts, reasoning=5, content=4)

    assert (message.reasoning, message.content) == ("think…", "Hell…")
    assert about == {"truncated": {"reasoning": 3, "content": 7}}


def test_a_text_of_the_limit_has_no_mark():
    message, about = read(ContentText("Hello"), content=5)

    assert message.content == "Hello"
    assert about == {}


def test_nothing_but_the_mark_is_shown_for_a_limit_of_zero():
    assert read(ReasoningText("so"), reasoning=0)[0].reasoning == "…"


def test_calls_are_whole():
    message, _ = read(ContentText("Hello"), content=1)

    assert message.tool_calls[0].function.arguments == '{"a":1}'
