from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    ContentText,
    ReasoningText,
    joined,
)


def test_texts_of_a_kind_are_joined_and_arguments_belong_to_their_call():
    read = joined(
        [
            ReasoningText("h"),
            ReasoningText("m"),
            ContentText("a"),
            CallBegun(0, "call_1", "f"),
            CallArguments(0, '{"x"'),
            CallBegun(1, "call_2", "g"),
            CallArguments(0, ": 1}"),
            ContentText("b"),
        ]
    )

    assert (read.reasoning, read.content) == ("hm", "ab")
    calls = [(call.id, call.function.name, call.function.arguments) for call in read.tool_calls]
    assert calls == [("call_1", "f", '{"x": 1}'), ("call_2", "g", "")]
