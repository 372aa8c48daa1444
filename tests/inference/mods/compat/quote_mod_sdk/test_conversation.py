"""The conversation in `quote_mod_sdk`."""

from concordance_sdk import Message, Schemas, Tool
from concordance_sdk.testing import play
from concordance_shared import (
    FunctionCall,
    FunctionSchema,
    JsonSchemaFormat,
    ResponseFormat,
    ToolCall,
)

CALL = ToolCall(id="c1", function=FunctionCall("f", '{"a": 1}'))
MESSAGES = (
    Message(role="user", content="hi"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", tool_call_id="c1", content="42"),
)


def test_conversation_is_a_list_of_dictionaries(load):
    definition = load(
        """
from quote_mod_sdk import Prefilled, get_conversation, get_schemas, mod, tool_call_pairs

@mod
def look(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        convo = get_conversation()
        assert convo == get_conversation(event.request_id)
        assert convo[0]["content"].lower() == "hi" and convo[1]["content"] is None
        assert isinstance(convo[1]["tool_calls"], list)
        assert convo[1]["tool_calls"][0]["function"]["name"] == "f"
        ((call, answer),) = tool_call_pairs(convo)
        assert call["id"] == "c1" and answer == "42" and tool_call_pairs() == [(call, "42")]
        schema, tool = get_schemas()
        assert schema["type"] == "object" and tool["function"]["name"] == "f"
        try:
            get_conversation("another")
        except PermissionError:
            return actions.force_output(tokenizer.encode("ok"))

assert get_conversation() == []
"""
    )
    schemas = Schemas(
        tools=(Tool(function=FunctionSchema(name="f")),),
        response_format=ResponseFormat(
            type="json_schema",
            json_schema=JsonSchemaFormat(name="s", schema={"type": "object"}),
        ),
    )

    assert play(definition, says="", messages=MESSAGES, schemas=schemas).text == "ok"
