"""A model's own chat template."""

import pytest
from concordance_inference.chat import template as module
from concordance_inference.chat.rendering import Rendering
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.generation import Completed
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_sdk import FinishReason
from concordance_shared import (
    ContextLengthError,
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


def test_the_role_developer_is_rendered_as_system():
    assert rendered(Message(role="developer", content="be")) == "[system]be[assistant]"


def test_content_parts_are_joined_and_missing_content_is_empty():
    from concordance_shared import ContentPart

    parts = (ContentPart(type="text", text="a"), ContentPart(type="text", text="b"))

    assert rendered(Message(role="user", content=parts)) == "[user]ab[assistant]"
    assert rendered(Message(role="assistant")) == "[assistant][assistant]"


def test_tool_call_arguments_are_an_object_to_the_template():
    call = ToolCall(id="call_1", function=FunctionCall("look_up", '{"city": "Paris"}'))

    assert "(look_up Paris)" in rendered(Message(role="assistant", tool_calls=(call,)))


PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}|{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN


def test_tools_are_rendered_by_a_template_whose_calls_are_known():
    template = TEMPLATE + "{# <tool_call> </tool_call> #}"
    tools = (Tool(function=FunctionSchema(name="look_up")),)
    text = rendered(Message(role="user", content="hi"), tools=tools, template=template)

    assert "<look_up>" in text


@pytest.mark.parametrize("template", [PLAIN, PLAIN + "{% if tools %}!{% endif %}", NO_SYSTEM])
def test_other_templates_get_the_tools_in_a_message(template):
    tools = (Tool(function=FunctionSchema(name="look_up")),)
    text = rendered(Message(role="user", content="hi"), tools=tools, template=template)

    assert '<tools>\n{"type": "function", "function": {"name": "look_up"}}\n</tools>' in text
    assert text.endswith("hi|")
    assert "!" not in text


@pytest.mark.parametrize("tools", [(Tool(function=FunctionSchema(name="look_up")),), ()])
def test_calls_and_results_are_text_where_the_template_renders_no_tools(tools):
    call = ToolCall(id="a", function=FunctionCall(name="look_up", arguments='{"a":1}'))
    messages = [
        Message(role="user", content="hi"),
        Message(role="assistant", content="Wait.", tool_calls=(call,)),
        Message(role="tool", content="42", tool_call_id="a"),
    ]
    text = rendered(*messages, tools=tools, template=PLAIN)

    assert text.endswith(
        'assistant: Wait.\n<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>|'
        "user: <tool_response>\n42\n</tool_response>|"
    )


def test_special_tokens_are_named_by_their_roles_beside_the_template():
    made, tokenizer = chat()
    tokenizer.hf.eos_token = "x"

    info = made.tokenizer_info()
    assert (info["eos_token"], info["chat_template"]) == ("x", TEMPLATE)


def test_a_template_that_raises_is_an_invalid_request():
    template = "{{ raise_exception('roles must alternate') }}"

    with pytest.raises(InvalidRequestError, match="roles must alternate"):
        rendered(Message(role="user", content="hi"), template=template)


def test_a_model_without_a_template_is_refused_by_that_reason():
    with pytest.raises(InvalidRequestError, match="no chat template"):
        rendered(Message(role="user", content="hi"), template=None)


# Sampled messages in the next prompt

#: The token "ab", which may also be sampled as "a" and "b".
MERGED = 256


def merging_chat(template=TEMPLATE):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate([*alphabet, "ab"])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[("a", "b")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, chat_template=template)
    tokenizer = ModelTokenizer(fast, eos_token_ids=[vocab["!"]], vocab_size=257)
    return ChatTemplate(tokenizer), tokenizer, [vocab["a"], vocab["b"]], vocab["!"]


def answered(text, token_ids):
    return Completed(
        text=text,
        token_ids=tuple(token_ids),
        finish_reason=FinishReason.STOP,
        prompt_tokens=1,
        completion_tokens=len(token_ids),
    )


def user(text):
    return Message(role="user", content=text)


def assistant(text):
    return Message(role="assistant", content=text)


def test_a_message_keeps_its_sampled_tokens_and_the_rest_is_tokenized():
    format_, tokenizer, two, end = merging_chat()
    first = format_.render([user("ab")])
    format_.keep(first, answered("abab", [*two, MERGED, end]))
    second = format_.render([user("ab"), assistant("abab"), user("ab")])

    assert first.count(MERGED) == 1
    assert second[: len(first) + 3] == [*first, *two, MERGED]
    assert tokenizer.decode(second) == "[user]ab[assistant]abab[user]ab[assistant]"


def test_several_messages_keep_their_sampled_tokens():
    format_, tokenizer, two, _ = merging_chat()
    messages = []
    for _ in range(3):
        messages.append(user("q"))
        prompt = format_.render(messages)
        format_.keep(prompt, answered("ab", two))
        messages.append(assistant("ab"))
    ids = format_.render([*messages, user("q")])

    assert MERGED not in ids
    assert tokenizer.decode(ids) == "[user]q[assistant]ab" * 3 + "[user]q[assistant]"


@pytest.mark.parametrize(
    "messages",
    [
        [user("other"), assistant("ab"), user("q")],  # after another prompt
        [user("q"), assistant("ab "), user("q")],  # another text
        [user("q"), user("ab"), user("q")],  # not an assistant message
    ],
)
def test_a_message_that_was_not_sampled_there_is_tokenized(messages):
    format_, _, two, _ = merging_chat()
    format_.keep(format_.render([user("q")]), answered("ab", two))

    assert MERGED in format_.render(messages)


@pytest.mark.parametrize(
    ("put", "shown"),
    [
        ("{{ m.content | upper }}", "THOUGHT|AB|TAIL"),
        ("{{ m.content.split('|')[-1] }}", "tail"),
        ("{{ m.content[:9] }}", "thought|a"),
    ],
)
def test_a_template_that_changes_assistant_messages_is_tokenized_as_text(put, shown):
    template = (
        "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}"
        + put
        + "{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    format_, tokenizer, _, _ = merging_chat(template)
    format_.keep(format_.render([user("q")]), answered("thought|ab|tail", [1]))
    ids = format_.render([user("q"), assistant("thought|ab|tail"), user("q")])

    assert tokenizer.decode(ids) == f"[user]q[assistant]{shown}[user]q[assistant]"


def test_a_message_cut_at_a_stop_string_is_not_kept():
    format_, _, two, _ = merging_chat()
    format_.keep(format_.render([user("q")]), answered("a", two))

    assert len(format_._sampled) == 0


# Templates that fail, and messages that are too long


@pytest.mark.parametrize(
    "template",
    [
        "{{ 1//0 }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{{ messages.nothing.at_all }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages[9].content }}",
        "{{ 'a' | no_such_filter }}",
        "{% if %}",
        "{{ ().__class__.__bases__ }}",
    ],
)
def test_an_error_of_the_template_names_the_template(monkeypatch, template):
    monkeypatch.setattr(module, "RENDER_S", 600)  # these fail by themselves

    with pytest.raises(InvalidRequestError, match="chat template") as caught:
        rendered(user("hi"), template=template)

    assert caught.value.param == "messages"


@pytest.mark.parametrize("template", ["", "{% for m in messages %}{{ m.content }}{% endfor %}"])
def test_an_empty_prompt_is_refused(template):
    with pytest.raises(InvalidRequestError, match="to nothing") as caught:
        rendered(user(""), template=template)

    assert caught.value.param == "messages"


def test_a_template_that_never_ends_exceeds_its_time_limit(monkeypatch):
    import threading

    monkeypatch.setattr(module, "RENDER_S", 0.2)
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}" + "{% endfor %}" * 2

    with pytest.raises(InvalidRequestError, match="exceeds its time limit"):
        rendered(user("hi"), template=loops)
    assert not [t for t in threading.enumerate() if t.name == "time-limited"]


CALLS = {
    "object": "{{ c.function.arguments.city }}",
    "items": "{% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{% endfor %}",
    "json": "{{ c.function.arguments | tojson }}",
    "text": "{{ c.function.name + c.function.arguments }}",
    "nothing": "",
}


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("arguments", ['{"city": "Paris"}', "{}", ""])
def test_tool_calls_are_rendered_by_any_template(kind, arguments):
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}("
        + CALLS[kind]
        + "){% endfor %}{% endfor %}"
    )
    call = ToolCall(id="call_1", function=FunctionCall("look_up", arguments))
    messages = [
        user("q"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="20 degrees", tool_call_id="call_1"),
    ]
    text = rendered(*messages, template=template)
    shown = {
        "object": "Paris" if "Paris" in arguments else "",
        "items": "city=Paris" if "Paris" in arguments else "",
        "json": arguments or "{}",
        "text": "look_up" + (arguments or "{}"),
        "nothing": "",
    }[kind]

    assert text == f"[user]q[assistant]({shown})[tool]20 degrees"


def test_invalid_tool_call_arguments_are_rendered_as_text():
    template = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments }}"
    template += "{% endfor %}{% endfor %}"
    call = ToolCall(id="call_1", function=FunctionCall("look_up", '{"city": "Pa'))

    assert (
        rendered(Message(role="assistant", tool_calls=(call,)), template=template) == '{"city": "Pa'
    )


def test_options_are_the_variables_that_a_template_reads_and_does_not_set():
    template = (
        "{% set ns = namespace(x=1) %}{% generation %}{{ messages[0].content }}{% endgeneration %}"
        "{% if enable_thinking is defined and not enable_thinking %}<off>{% endif %}"
        "{{ bos_token }}{% for t in tools or [] %}{{ t }}{% endfor %}{{ strftime_now('%Y') }}"
        "{{ reasoning_effort }}"
    )
    format_, tokenizer = chat(template)

    assert format_.options == {"enable_thinking", "reasoning_effort", "bos_token"}
    ids = format_.render([user("hi")], (), {"enable_thinking": False, "reasoning_effort": "low"})
    assert tokenizer.decode(ids).startswith("hi<off>")
    assert tokenizer.decode(ids).endswith("low")


class CountingTokenizer:
    """Counts the characters that are tokenized."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.num_chars = 0

    def __getattr__(self, name):
        return getattr(self._tokenizer, name)

    def encode(self, text):
        self.num_chars += len(text)
        return self._tokenizer.encode(text)


@pytest.mark.parametrize("num_chars", [900, 100_000, 4_000_000])
def test_a_far_too_long_prompt_is_refused_before_it_is_tokenized(num_chars):
    _, tokenizer = chat()
    counting = CountingTokenizer(tokenizer)
    format_ = ChatTemplate(counting, context_length=100)

    with pytest.raises(ContextLengthError) as caught:
        format_.render([user("x" * num_chars)])
    assert caught.value.param == "messages"
    assert counting.num_chars <= 32 * 1024


def test_a_prompt_that_may_fit_is_tokenized_as_one_text():
    format_, tokenizer, _, _ = merging_chat()
    bounded = ChatTemplate(tokenizer, context_length=100)

    assert bounded.render([user("ab" * 300)]) == format_.render([user("ab" * 300)])


def test_marks_in_a_message_are_text():
    messages = [user("\ue0001\ue001"), assistant("\ue0003\ue001a"), user("b"), assistant("c")]
    expected = "".join(f"[{m.role}]{m.content}" for m in messages) + "[assistant]"

    assert rendered(*messages) == expected


def test_a_long_text_is_tokenized_by_the_call_that_releases_the_gil():
    _, tokenizer = chat()
    whole = tokenizer.encode("x y z " * 500)
    tokenizer._fast, fast = None, tokenizer._fast

    class OnlyBatches:
        encode_batch_fast = staticmethod(fast.encode_batch_fast)

    tokenizer._fast = OnlyBatches()
    assert tokenizer.encode("x y z " * 500) == whole


def test_texts_are_tokenized_decoded_and_their_tokens_named():
    format_, _ = chat()
    ids = format_.tokenize("a b", adds_special=False)

    assert format_.encode("a b") == format_.tokenize("a b") == ids  # it has no BOS
    assert format_.decode(ids) == "a b"
    assert format_.token_names(ids) == ["a", "Ġ", "b"]


# How the prompt ends


def ended(*messages, template=TEMPLATE, **how):
    format_, tokenizer = chat(template)
    return tokenizer.decode(format_.render(messages, rendering=Rendering(**how)))


def test_a_prompt_without_a_generation_prompt_ends_after_the_last_message():
    assert ended(user("hi"), adds_generation_prompt=False) == "[user]hi"


CLOSED = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[end]\n{% endfor %}[assistant]"


@pytest.mark.parametrize("content", ["So", "So ", " So\n", "\n", "[end]", "[assistant]"])
def test_a_final_message_is_continued_where_it_ends(content):
    text = ended(user("hi"), assistant(content), template=CLOSED, continues_final_message=True)

    assert text == f"[user]hi[end]\n[assistant]{content}"


def test_a_final_message_that_a_template_strips_keeps_its_end():
    stripping = CLOSED.replace("m.content", "m.content | trim")
    text = ended(user(" hi "), assistant(" So "), template=stripping, continues_final_message=True)

    assert text == "[user]hi[end]\n[assistant]So "


def test_a_users_message_is_continued_too():
    assert ended(user("Why"), template=CLOSED, continues_final_message=True) == "[user]Why"


@pytest.mark.parametrize("shown", ["m.content | upper", "m.content.split('o')[0]", "''", "m.role"])
def test_a_final_message_that_the_template_changes_cannot_be_continued(shown):
    with pytest.raises(InvalidRequestError, match="changes or drops the last message") as caught:
        ended(
            user("So"),
            assistant("So long"),
            template=CLOSED.replace("m.content", shown),
            continues_final_message=True,
        )
    assert caught.value.param == "continue_final_message"


CALL = ToolCall(id="c", function=FunctionCall("look"))


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (assistant(""), "no text"),
        (Message(role="assistant"), "no text"),
        (Message(role="assistant", content="So", tool_calls=(CALL,)), "tool calls"),
    ],
)
def test_a_message_without_text_or_with_tool_calls_cannot_be_continued(last, why):
    with pytest.raises(InvalidRequestError, match=why) as caught:
        ended(user("hi"), last, continues_final_message=True)
    assert caught.value.param == "continue_final_message"


def test_a_continued_message_keeps_its_sampled_tokens():
    format_, tokenizer, two, _ = merging_chat()
    first = format_.render([user("q")])
    format_.keep(first, answered("ab", two))
    how = Rendering(continues_final_message=True)
    again = format_.render([user("q"), assistant("ab")], rendering=how)

    assert again == [*first, *two]
    assert tokenizer.decode(again) == "[user]q[assistant]ab"
