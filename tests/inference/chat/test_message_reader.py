import pytest
from concordance_inference.chat.message_parts import ContentText
from concordance_inference.chat.message_reader import PlainReader, finish_reason, read_message
from concordance_inference.generation import Completed, TextDelta
from concordance_shared import FinishReason, FunctionCall, ToolCall

CALL = ToolCall(id="call_1", function=FunctionCall(name="f", arguments='{"x": 1}'))


def completed(text="", reason=FinishReason.STOP, tool_calls=()):
    return Completed(
        text=text,
        token_ids=(),
        finish_reason=reason,
        tool_calls=tool_calls,
        prompt_tokens=1,
        completion_tokens=0,
    )


def test_plain_text_is_content():
    assert list(PlainReader().add(TextDelta(text="a"))) == [ContentText("a")]


def test_a_completion_is_read_with_the_calls_that_mods_made():
    read = read_message(PlainReader(), completed("a", tool_calls=(CALL,)))

    assert (read.content, read.tool_calls) == ("a", (CALL,))


@pytest.mark.parametrize(
    ("ended", "has_calls", "reason"),
    [("stop", True, "tool_calls"), ("stop", False, "stop"), ("length", True, "length")],
)
def test_a_message_that_stops_after_calls_ends_to_call_them(ended, has_calls, reason):
    end = completed(reason=FinishReason(ended))

    assert finish_reason(end, has_calls=has_calls) == reason
