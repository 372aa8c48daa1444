from concordance_inference.server.responses.chat_messages import messages_of
from concordance_inference.server.responses.items import (
    FunctionCallItem,
    FunctionOutputItem,
    InputText,
    MessageItem,
    OutputText,
    ReasoningItem,
    ReasoningText,
)


def user(text):
    return MessageItem(id="msg", role="user", content=(InputText(text),))


def reply(text):
    return MessageItem(id="msg", role="assistant", content=(OutputText(text=text),))


def thought(text):
    return ReasoningItem(id="rs", content=(ReasoningText(text),))


def call(call_id):
    return FunctionCallItem(id="fc", call_id=call_id, name="f", arguments="{}")


def output(call_id):
    return FunctionOutputItem(id="fco", call_id=call_id, output="42")


def shown(items, instructions=None):
    """The messages, each as its role and what it has."""
    return [
        (
            message.role,
            message.reasoning_content,
            message.content,
            *(call.id for call in message.tool_calls or ()),
        )
        for message in messages_of(items, instructions)
    ]


def test_a_turn_of_the_assistant_is_one_message():
    assert shown([user("q"), thought("hm"), reply("a"), call("1"), call("2"), output("1")]) == [
        ("user", None, "q"),
        ("assistant", "hm", "a", "1", "2"),
        ("tool", None, "42"),
    ]


def test_two_replies_in_succession_are_two_messages():
    assert shown([reply("a"), reply("b")]) == [("assistant", None, "a"), ("assistant", None, "b")]


def test_text_after_a_call_is_joined_as_in_chat_completions():
    assert shown([thought("x"), reply("a"), thought("y"), call("1"), reply("b")]) == [
        ("assistant", "xy", "ab", "1")
    ]


def test_instructions_are_a_system_message_before_the_conversation():
    assert shown([user("q")], "Be brief.")[0] == ("system", None, "Be brief.")
    assert shown([user("q")], "") == [("user", None, "q")]


def test_a_turn_with_reasoning_only_has_empty_content():
    assert shown([thought("hm")]) == [("assistant", "hm", "")]
