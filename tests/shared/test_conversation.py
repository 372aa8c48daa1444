"""Decoding of messages from OpenAI's JSON, and their text."""

import msgspec
import pytest
from concordance_shared import Message
from concordance_shared.conversation import roles_hint


def message(json):
    return msgspec.json.decode(json, type=Message)


@pytest.mark.parametrize(
    ("json", "text"),
    [
        ('{"role": "user", "content": "hi"}', "hi"),
        ('{"role": "assistant", "content": null}', ""),
        ('{"role": "assistant"}', ""),
        (
            '{"role": "user", "content": [{"type": "text", "text": "a"},'
            ' {"type": "text", "text": "b"}]}',
            "ab",
        ),
    ],
)
def test_text_joins_the_parts_of_a_message(json, text):
    assert message(json).text == text


def test_tool_calls_decode():
    json = (
        '{"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",'
        ' "function": {"name": "f", "arguments": "{}"}}]}'
    )

    assert message(json).tool_calls[0].function.name == "f"


def test_unknown_fields_are_ignored():
    assert message('{"role": "user", "content": "hi", "refusal": null}').text == "hi"


def test_unknown_role_is_rejected():
    with pytest.raises(msgspec.ValidationError, match=r"\$\.role"):
        message('{"role": "robot", "content": "hi"}')


@pytest.mark.parametrize("field", ["messages[1].role", "role"])
def test_roles_are_listed_for_the_role_of_a_message(field):
    assert (
        roles_hint(field) == "; the roles are: system, developer, user, assistant, tool, function"
    )
    assert roles_hint("messages[1].content") == ""
