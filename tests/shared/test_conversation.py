"""Messages decode from OpenAI's JSON and read as text."""

import msgspec
import pytest
from concordance_shared import Message


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
def test_the_text_of_a_message(json, text):
    assert message(json).text == text


def test_tool_calls_decode():
    json = (
        '{"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",'
        ' "function": {"name": "f", "arguments": "{}"}}]}'
    )

    assert message(json).tool_calls[0].function.name == "f"


def test_fields_nobody_knows_are_let_pass():
    assert message('{"role": "user", "content": "hi", "refusal": null}').text == "hi"


def test_a_role_that_is_none_is_refused():
    with pytest.raises(msgspec.ValidationError, match=r"\$\.role"):
        message('{"role": "robot", "content": "hi"}')
