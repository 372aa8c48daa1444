"""Templates whose text knows what they wrote."""

import pytest
from concordance_inference.chat.written_template import render_written
from concordance_inference.chat.written_text import own_runs, written
from token_families import FAMILIES
from transformers import PreTrainedTokenizerFast

MESSAGES = [
    {"role": "user", "content": " <s>Hé\n'you' "},
    {
        "role": "assistant",
        "content": "<think>a</think>b",
        "tool_calls": [
            {"function": {"name": "look", "arguments": {"k": "<s>", "n": [1, {"q": "é"}]}}}
        ],
    },
]

#: A template, and the texts that it writes itself.
TEMPLATES = {
    "output": ("{% for m in messages %}<s>{{ m.content }}</s>{% endfor %}", "<s>|</s><s>|</s>"),
    "plus": (
        "{% for m in messages %}{{ '<s>' + m['content'] + '</s>' }}{% endfor %}",
        "<s>|</s><s>|</s>",
    ),
    "tilde": ("{{ '<s>' ~ messages[0].content ~ '</s>' ~ 1 }}", "<s>|</s>"),
    "trim": ("<s>{{ messages[0].content | trim }}</s>", "<s>|</s>"),
    "strip": ("<s>{{ messages[0].content.strip() }}</s>", "<s>|</s>"),
    "strip_own": ("{{ ('<s>' + messages[0].content + '</s> ').strip() }}", "<s>|</s>"),
    "trim_own": ("{{ ('<s>' + messages[0].content + '</s> ') | trim }}", "<s>|</s>"),
    "split": ("<s>{{ messages[1].content.split('</think>')[-1] }}</s>", "<s>|</s>"),
    "looks": (
        "{% if '</think>' in messages[1].content %}<s>{% endif %}{{ messages[1].content }}",
        "<s>",
    ),
    "macro": (
        "{% macro turn(m) %}<s>{{ m.content }}</s>{% endmacro %}"
        "{% for m in messages %}{{ turn(m) }}{% endfor %}",
        "<s>|</s><s>|</s>",
    ),
    "set_block": ("{% set x %}<s>{{ messages[0].content }}{% endset %}{{ x }}</s>", "<s>|</s>"),
    "set": ("{% set x = '<s>' + messages[0].content %}{{ x + '</s>' }}", "<s>|</s>"),
    "namespace": (
        "{% set ns = namespace(t='') %}{% for m in messages %}"
        "{% set ns.t = ns.t ~ '<s>' ~ m.content %}{% endfor %}{{ ns.t }}",
        "<s>|<s>",
    ),
    "filter_block": (
        "{% filter trim %}<s>{{ messages[0].content }}</s> {% endfilter %}",
        "<s>|</s>",
    ),
    "call_block": (
        "{% macro turn() %}<s>{{ caller() }}</s>{% endmacro %}"
        "{% call turn() %}{{ messages[0].content }}{% endcall %}",
        "<s>|</s>",
    ),
    "generation": ("{% generation %}<s>{{ messages[0].content }}{% endgeneration %}", "<s>"),
    "tojson": ("<s>{{ messages[1].tool_calls | tojson }}</s>", "<s>|</s>"),
    "tojson_indent": ("<s>{{ messages[1].tool_calls | tojson(indent=2) }}</s>", "<s>|</s>"),
    "tojson_place": ("<s>{{ messages[1].tool_calls | tojson(true, 2) }}</s>", "<s>|</s>"),
    "join": ("{{ messages | map(attribute='content') | join('</s>') }}", "</s>"),
    "join_attribute": ("{{ messages | join('</s>', attribute='content') }}", "</s>"),
    "join_method": ("{{ '</s>'.join(['<s>', messages[0].content]) }}", "<s></s>"),
    "replace": ("{{ messages[0].content | replace('<s>', '</s>') }}", "</s>"),
    "replace_some": ("{{ messages[0].content | replace('', '-') }}", ""),
    "if": ("{{ '<s>' if messages else '</s>' }}{{ messages[0].content }}", "<s>"),
    "default": ("{{ nothing | default('<s>') }}{{ messages[0].content }}", "<s>"),
    "items": (
        "{% for k, v in messages[1].tool_calls[0].function.arguments | items %}"
        "<s>{{ k }}={{ v }}{% endfor %}",
        "<s>|=|<s>|=",
    ),
    "role": ("{{ '<|' + messages[0].role + '|>' + messages[0].content }}", "<|user|>"),
    "capital": ("{{ messages[0].role | capitalize + ': ' + messages[0].content }}", "User: "),
    "bos": ("{{ bos_token + messages[0].content }}", "<s>"),
    "loop_controls": (
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}<s>{{ m.content }}"
        "{% endfor %}",
        "<s>",
    ),
    "lines": (
        "{% for m in messages %}\n  <s>{{ m.content }}\n  {% endfor %}\n",
        "  <s>|\n  <s>|\n",
    ),
    "slice": ("{{ ('<s>' + messages[0].content)[2:6] }}", ">"),
    "set_in_list": (
        "{% for x in ['<s>', '</s>'] %}{{ x }}{{ messages[0].content }}{% endfor %}",
        "<s>|</s>",
    ),
    "tuple": ("{% for a, b in [('<s>', 1)] %}{{ a }}{{ messages[0].content }}{% endfor %}", "<s>"),
    "object": ("{{ {'user': '<s>'}[messages[0].role] }}{{ messages[0].content }}", "<s>"),
    "now": ("{{ strftime_now('%Y') }}<s>", "<s>"),
}


def rendered(source):
    messages = [{**message, "role": written(message["role"])} for message in MESSAGES]
    return render_written(
        source, {"messages": messages, "bos_token": written("<s>"), "tools": None}
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_text_is_that_of_transformers(name):
    fast = PreTrainedTokenizerFast(tokenizer_object=FAMILIES["gpt2"], bos_token="<s>")
    source, _ = TEMPLATES[name]
    text = fast.apply_chat_template(MESSAGES, chat_template=source, tokenize=False)

    assert rendered(source) == text


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_knows_what_it_wrote(name):
    source, own = TEMPLATES[name]
    text = rendered(source)

    assert "|".join(text[begin:end] for begin, end in own_runs(text)) == own


def test_a_refusal_is_raised():
    with pytest.raises(Exception, match="no tools"):
        render_written("{{ raise_exception('no tools') }}", {})
