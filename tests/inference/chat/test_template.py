"""A model's own chat template."""

import pytest
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import (
    FunctionCall,
    FunctionSchema,
    InvalidRequestError,
    Message,
    Tool,
    ToolCall,
)
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}"
    "{% for c in m.tool_calls or [] %}"
    "({{ c.function.name }} {{ c.function.arguments.city }})"
    "{% endfor %}"
    "{% endfor %}{% if tools %}<{{ tools[0].function.name }}>{% endif %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def chat(template=TEMPLATE):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template)
    tokenizer = ModelTokenizer(fast, eos_token_ids=[], vocab_size=256)
    return ChatTemplate(tokenizer), tokenizer


def rendered(*messages, tools=(), template=TEMPLATE):
    format_, tokenizer = chat(template)
    return tokenizer.decode(format_.render(messages, tools))


def test_messages_become_a_prompt():
    text = rendered(Message(role="system", content="be"), Message(role="user", content="hi"))

    assert text == "[system]be[user]hi[assistant]"


def test_a_developer_is_a_system():
    assert rendered(Message(role="developer", content="be")) == "[system]be[assistant]"


def test_parts_are_joined_and_nothing_is_an_empty_string():
    from concordance_shared import ContentPart

    parts = (ContentPart(type="text", text="a"), ContentPart(type="text", text="b"))

    assert rendered(Message(role="user", content=parts)) == "[user]ab[assistant]"
    assert rendered(Message(role="assistant")) == "[assistant][assistant]"


def test_tool_calls_have_their_arguments_as_an_object():
    call = ToolCall(id="call_1", function=FunctionCall("look_up", '{"city": "Paris"}'))

    assert "(look_up Paris)" in rendered(Message(role="assistant", tool_calls=(call,)))


def test_tools_are_rendered_where_the_template_knows_of_them():
    tools = (Tool(function=FunctionSchema(name="look_up")),)

    assert chat()[0].knows_tools
    assert "<look_up>" in rendered(Message(role="user", content="hi"), tools=tools)
    assert not chat("{{ messages[0].content }}")[0].knows_tools


def test_a_template_that_refuses_is_the_callers_error():
    template = "{{ raise_exception('roles must alternate') }}"

    with pytest.raises(InvalidRequestError, match="roles must alternate"):
        rendered(Message(role="user", content="hi"), template=template)


def test_a_model_without_a_template_says_so():
    with pytest.raises(InvalidRequestError, match="no chat template"):
        rendered(Message(role="user", content="hi"), template=None)
