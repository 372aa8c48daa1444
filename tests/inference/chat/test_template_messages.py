"""Tool-call history with the constructs of common chat templates."""

import pytest
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.chat.template_messages import forms_of
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import (
    ContentPart,
    FunctionCall,
    FunctionSchema,
    InvalidRequestError,
    Message,
    Tool,
    ToolCall,
)
from token_families import FAMILIES
from transformers import PreTrainedTokenizerFast

#: The shapes of templates of model families, and what they write of a call, its result and the end.
TEMPLATES = {
    "object to JSON": (
        "{% for m in messages %}{% if m.role == 'tool' %}<r>{{ m.content }}</r>"
        "{% elif m.tool_calls %}{% for c in m.tool_calls %}"
        '<c>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</c>'
        "{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
        '<c>{"name": "look", "arguments": ARGS}</c><r>20</r>',
    ),
    "text or object": (
        "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
        "{% if c.function.arguments is string %}{{ c.function.arguments }}"
        "{% else %}{{ c.function.arguments | tojson }}{% endif %}{% endfor %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}",
        "ARGS20",
    ),
    "text joined": (
        "{% for m in messages %}{% if m.tool_calls %}{% for c in m.tool_calls %}"
        "{{ c.function.name + '(' + c.function.arguments + ')' }}{% endfor %}"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}",
        "look(ARGS)20",
    ),
    "text printed": (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name ~ '\n```json\n' ~ c.function.arguments ~ '\n```' }}{% endfor %}"
        "{{ m.content }}{% endfor %}",
        "look\n```json\nARGS\n```20",
    ),
    "items as XML": (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}<function={{ c.function.name }}>"
        "{% for k, v in c.function.arguments | items %}<parameter={{ k }}>"
        "{{ v if v is string else v | tojson }}</parameter>{% endfor %}</function>"
        "{% endfor %}{{ m.content }}{% endfor %}",
        "<function=look>ITEMS</function>20",
    ),
    "items of the object": (
        "{% for m in messages %}{% if 'tool_calls' in m and m.tool_calls %}"
        "{% for c in m.tool_calls %}{% for k, v in c.function.arguments.items() %}"
        "<parameter={{ k }}>{{ v if v is string else v | tojson }}</parameter>{% endfor %}"
        "{% endfor %}{% endif %}{{ m.content }}{% endfor %}",
        "ITEMS20",
    ),
    "call without its function": (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{% if c.function is defined %}{% set c = c.function %}{% endif %}"
        "{{ {'name': c.name, 'arguments': c.arguments} | tojson }}{% endfor %}"
        "{{ m.content }}{% endfor %}",
        '{"name": "look", "arguments": ARGS}20',
    ),
    "ids of nine characters": (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{% if c.id is not defined or c.id | length != 9 %}"
        "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
        "{% endif %}{{ c.function | tojson }}{% endfor %}"
        "{% if m.role == 'tool' and m.tool_call_id | length != 9 %}"
        "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
        "{% endif %}{{ m.content }}{% endfor %}",
        '{"name": "look", "arguments": ARGS}20',
    ),
    "content of calls as text": (
        "{% for m in messages %}{{ m.content + '' }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}",
        "ARGS20",
    ),
    "one call": (
        "{% for m in messages %}{% if m.tool_calls %}{% if m.tool_calls | length != 1 %}"
        "{{ raise_exception('This model only supports single tool-calls at once!') }}{% endif %}"
        "{% set call = m.tool_calls[0].function %}"
        '{{ \'{"name": "\' + call.name + \'", "parameters": \' }}{{ call.arguments | tojson }}}'
        "{% elif m.role in ('tool', 'ipython') %}{{ m.content | string }}"
        "{% else %}{{ m.content | trim }}{% endif %}{% endfor %}",
        '{"name": "look", "parameters": ARGS}20',
    ),
}

#: Arguments as clients send them, the same as templates write them, and their items.
ARGUMENTS = {
    "object": ('{"city": "Paris", "n": [1]}', '{"city": "Paris", "n": [1]}', "PARIS"),
    "empty object": ("{}", "{}", ""),
    "nothing": ("", "{}", ""),
    "space": (" ", "{}", ""),
}
ITEMS = "<parameter=city>Paris</parameter><parameter=n>[1]</parameter>"
RESULTS = {
    "text": "20",
    "parts": (ContentPart(type="text", text="2"), ContentPart(type="text", text="0")),
}


def rendered(template, messages, tools=()):
    fast = PreTrainedTokenizerFast(
        tokenizer_object=FAMILIES["gpt2"], chat_template=template, eos_token="</s>"
    )
    tokenizer = ModelTokenizer(fast, eos_token_ids=[fast.eos_token_id], vocab_size=10**6)
    return tokenizer.decode(ChatTemplate(tokenizer).render(messages, tools))


def history(arguments, *, call_id="call_abcdefghijklmnop", result="20", answers="the same"):
    call = ToolCall(id=call_id, function=FunctionCall("look", arguments))
    return [
        Message(role="assistant", tool_calls=(call,)),
        Message(
            role="tool", content=result, tool_call_id=call_id if answers == "the same" else answers
        ),
    ]


@pytest.mark.parametrize("result", RESULTS)
@pytest.mark.parametrize("kind", ARGUMENTS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_tool_calls_and_results_are_rendered(name, kind, result):
    template, expected = TEMPLATES[name]
    arguments, shown, items = ARGUMENTS[kind]
    text = rendered(template, history(arguments, result=RESULTS[result]))

    expected = expected.replace("ITEMS", ITEMS if items else "").replace("ARGS", shown)
    assert text == expected


@pytest.mark.parametrize("call_id", ["", "abcdef123", "call_abcdefghijklmnop", "<s>"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_ids_of_any_form_are_rendered(name, call_id):
    template, expected = TEMPLATES[name]
    answers = None if call_id == "" else "the same"
    text = rendered(template, history("{}", call_id=call_id, answers=answers))

    assert text == expected.replace("ITEMS", "").replace("ARGS", "{}")


def test_missing_ids_are_filled_in_order():
    calls = tuple(ToolCall(id="", function=FunctionCall(name)) for name in "ab")
    messages = [
        Message(role="assistant", tool_calls=calls),
        Message(role="tool", content="1"),
        Message(role="tool", content="2"),
        Message(role="tool", content="3"),
    ]
    first = next(forms_of(messages))

    assert [call["id"] for call in first[0]["tool_calls"]] == ["call00000", "call00001"]
    assert [m["tool_call_id"] for m in first[1:]] == ["call00000", "call00001", ""]
    assert messages[0].tool_calls[0].id == ""


def test_a_result_keeps_the_id_that_it_has():
    call = ToolCall(id="other", function=FunctionCall("a"))
    messages = [
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="1", tool_call_id="unknown"),
    ]

    assert [[m.get("tool_call_id") for m in form] for form in forms_of(messages)] == [
        [None, "unknown"]
    ] * 4


@pytest.mark.parametrize("arguments", ['{"city": "Pa', "[1]", '"text"', "1"])
def test_arguments_that_are_no_object_stay_text(arguments):
    template = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments }}"

    assert rendered(template + "{% endfor %}{% endfor %}", history(arguments)) == arguments


def test_a_template_that_refuses_every_form_says_why():
    template = "{% for m in messages %}{% if m.tool_calls %}{{ raise_exception('no tools') }}"

    with pytest.raises(InvalidRequestError, match="no tools"):
        rendered(template + "{% endif %}{% endfor %}", history("{}"))


def test_messages_without_calls_have_one_form():
    assert len([*forms_of([Message(role="user", content="a")])]) == 1


def test_tools_without_a_description_are_rendered():
    template = (
        "{% for t in tools %}{{ t.function | tojson }}{% endfor %}{{ messages[0].content }}"
        "{# <tool_call> </tool_call> #}"
    )
    tools = (Tool(function=FunctionSchema(name="look")),)

    assert rendered(template, [Message(role="user", content="a")], tools) == '{"name": "look"}a'
