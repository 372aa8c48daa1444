"""Arguments that are written one by one, read as JSON."""

import json

import pytest
from concordance_inference.tools.keyed_reader import KeyedText, NotKeyedError, kinds_of
from concordance_inference.tools.layouts import LAYOUTS
from concordance_shared import FunctionSchema, Tool

QWEN = LAYOUTS["qwen3_coder"].keyed
GEMMA = LAYOUTS["function_gemma"].keyed
PROPERTIES = {
    "text": {"type": "string"},
    "n": {"type": "integer"},
    "either": {"type": ["string", "null", "object"]},
    "list": {"type": "array"},
    "free": {},
}


def read(values, spelling=QWEN, *, tail="!"):
    kinds = kinds_of(
        Tool(function=FunctionSchema(name="f", parameters={"properties": PROPERTIES})), spelling
    )
    text = spelling.separator.join(
        f"{spelling.before_key}{key}{spelling.after_key}{value}{spelling.after_value}"
        for key, value in values.items()
    )
    found = KeyedText(f"{text}{tail}", spelling, kinds, tail=tail).read()
    assert found is None or found[1] == len(text)
    return found and json.loads(found[0])


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("text", 'say "hi"\n\n<b>', 'say "hi"\n\n<b>'),
        ("text", "12", "12"),
        ("text", "null", "null"),
        ("text", "", ""),
        ("n", "-3", -3),
        ("either", "null", None),
        ("either", "word", "word"),
        ("either", '"word"', '"word"'),
        ("either", '{"a": "\\n</parameter>\\n"}', {"a": "\n</parameter>\n"}),
        ("list", '["\\n</parameter>\\n", 1]', ["\n</parameter>\n", 1]),
        ("free", "true", True),
        ("free", "maybe", "maybe"),
    ],
)
def test_a_value_has_the_type_of_its_schema(key, written, value):
    assert read({key: written}) == {key: value}


def test_quoted_strings_may_have_separators_and_ends():
    values = {"text": "<escape>a,n:3}<escape>", "n": "4"}

    assert read(values, GEMMA, tail="}") == {"text": "a,n:3}", "n": 4}


@pytest.mark.parametrize(("written", "value"), [("True", True), ("None", None), ("false", False)])
def test_literals_of_python_are_read(written, value):
    assert read({"free": written}, LAYOUTS["pythonic"].keyed, tail=")") == {"free": value}


@pytest.mark.parametrize("text", ["<para", "<parameter=text", "<parameter=n>\n3", ""])
def test_an_incomplete_text_is_not_read(text):
    assert KeyedText(text, QWEN, {}, tail="!").read() is None


def test_a_text_of_another_form_is_refused():
    with pytest.raises(NotKeyedError):
        KeyedText("x!", QWEN, {}, tail="!").read()
