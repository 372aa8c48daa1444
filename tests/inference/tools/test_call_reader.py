"""The reader of tool calls in the text of a completion."""

import json

import pytest
from concordance_inference.chat.message_parts import (
    CallArguments,
    CallBegun,
    CallCut,
    ContentText,
    joined,
)
from concordance_inference.generation import TextDelta
from concordance_inference.tools.call_reader import CallReader
from concordance_inference.tools.layouts import LAYOUTS
from concordance_inference.tools.offer import AUTO, ToolChoice, tool_offer
from concordance_inference.tools.tool_format import ToolFormat
from concordance_shared import FunctionSchema, Tool
from fake_engine import completed

TOOLS = [Tool(function=FunctionSchema(name=name)) for name in ("get", "get_weather", "now")]

ONE = '{"city": "Paris, {\\"x\\"}"}'
TWO = '{"n": [1, {"a": "</tool_call>"}]}'

WRITTEN = {
    "json_tools": (
        f'<tool_call>\n{{"name": "get_weather", "arguments": {ONE}}}\n</tool_call>\n'
        f'<tool_call>\n{{"name": "get", "arguments": {TWO}}}\n</tool_call>'
    ),
    "llama3_json": f'{{"name": "get_weather", "parameters": {ONE}}}',
    "mistral_list": (
        f'[TOOL_CALLS][{{"name": "get_weather", "arguments": {ONE}}}, '
        f'{{"name": "get", "arguments": {TWO}}}]'
    ),
    "mistral": f"[TOOL_CALLS]get_weather[ARGS]{ONE}[TOOL_CALLS]get[ARGS]{TWO}",
    "mistral_call_id": (
        f"[TOOL_CALLS]get_weather[CALL_ID]abcdefgh1[ARGS]{ONE}"
        f"[TOOL_CALLS]get[CALL_ID]abcdefgh2[ARGS]{TWO}"
    ),
    "kimi_k2": (
        "<|tool_calls_section_begin|>"
        f"<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{ONE}"
        f"<|tool_call_end|>"
        f"<|tool_call_begin|>functions.get:1<|tool_call_argument_begin|>{TWO}<|tool_call_end|>"
        "<|tool_calls_section_end|>"
    ),
}


def reader(name="json_tools", choice=AUTO):
    tool_format = ToolFormat(name=name, layout=LAYOUTS[name])
    return CallReader(tool_offer(TOOLS, choice, tool_format))


def parts_of(text, *, name="json_tools", size=None, choice=AUTO):
    """Return the parts that a text has if it comes in pieces of a size."""
    own, size = reader(name, choice), size or max(1, len(text))
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    parts = [part for piece in pieces for part in own.add(TextDelta(text=piece))]
    return [*parts, *own.end(completed(text))]


def read(text, **options):
    message = joined(parts_of(text, **options))
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    return message.content, calls


@pytest.mark.parametrize("size", [None, 1, 3, 7])
@pytest.mark.parametrize("name", WRITTEN)
def test_calls_are_read_from_pieces_of_any_size(name, size):
    text = WRITTEN[name]
    calls = [("get_weather", ONE)] + [("get", TWO)] * ('"n"' in text)

    assert read(text, name=name, size=size) == ("", calls)
    assert read(f"Let me look.\n{text}", name=name, size=size)[0].startswith("Let me look.")


@pytest.mark.parametrize("size", [None, 1, 4])
def test_text_before_a_call_is_content_without_the_space_between(size):
    text = 'Wait <tool> \n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'

    assert read(text, size=size) == ("Wait <tool>", [("now", "{}")])


@pytest.mark.parametrize("text", ["", "Hello <tool_cal", "a\n\n", " <", "x <tool_callx>", "\n"])
@pytest.mark.parametrize("size", [None, 1])
def test_text_without_a_marker_is_content(text, size):
    assert read(text, size=size) == (text, [])


def test_only_text_that_may_be_a_marker_is_held_back():
    own = reader()

    assert own.add(TextDelta(text="see <b> <tool")) == [ContentText("see <b>")]
    assert own.add(TextDelta(text="box>")) == [ContentText(" <toolbox>")]


def test_arguments_are_reported_as_they_come():
    own = reader()
    begun = own.add(TextDelta(text='<tool_call>\n{"name": "get", "arguments": {"a": "x'))
    more = own.add(TextDelta(text='yz", "b'))

    assert isinstance(begun[0], CallBegun)
    assert begun[0].id.startswith("call_")
    assert begun[1:] == [CallArguments(0, '{"a": "x')]
    assert more == [CallArguments(0, 'yz", "b')]


@pytest.mark.parametrize("size", [None, 1, 5])
@pytest.mark.parametrize("cut", [14, 30, 60, 73])
def test_a_call_that_is_cut_is_content(size, cut):
    text = f'<tool_call>\n{{"name": "get_weather", "arguments": {ONE}}}\n</tool_call>'[:cut]

    assert read(f"So: {text}", size=size) == (f"So:{text}", [])


def test_a_cut_call_after_a_whole_one_leaves_the_whole_one():
    text = WRITTEN["json_tools"][:-20]
    content, calls = read(text)

    assert (content, calls) == ("", [("get_weather", ONE)])


def test_a_call_of_a_tool_that_is_not_offered_is_content():
    text = '<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>'

    assert read(text, size=3) == (text, [])


def test_a_marker_in_the_middle_is_content_where_calls_are_at_the_start_only():
    text = f"So: {WRITTEN['llama3_json']}"

    assert read(text, name="llama3_json", size=2) == (text, [])
    assert read(f"\n{WRITTEN['llama3_json']}", name="llama3_json", size=2)[1]


def test_ids_of_kimi_are_those_that_its_template_writes():
    begun = [p for p in parts_of(WRITTEN["kimi_k2"], name="kimi_k2") if isinstance(p, CallBegun)]

    assert [part.id for part in begun] == ["functions.get_weather:0", "functions.get:1"]
    assert [part.index for part in begun] == [0, 1]
    assert json.loads(TWO)


# Completions that end anywhere

REQUIRED = ToolChoice(mode="required")


def called(name):
    """Return the text of two calls of `now` in a format, or of one if a message has only one."""
    layout = LAYOUTS[name]
    own = f"{layout.id.before}{'1' * layout.id.longest}" if layout.id else ""
    one = f"now{own}{layout.after_name}{'' if layout.keyed else '{}'}{layout.tail}"
    further = "" if layout.again is None else layout.again + one
    return f"{layout.marker}{layout.head}{one}{further}{layout.close}"


def content_of(parts):
    """Return the content that a stream sends."""
    return "".join(part.text for part in parts if isinstance(part, ContentText))


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("size", [None, 1])
def test_required_calls_that_are_cut_anywhere_leave_no_content(name, size):
    text = f"\n\n{called(name)}"
    whole = joined(parts_of(text, name=name, choice=REQUIRED))

    assert len(whole.tool_calls) == (1 if LAYOUTS[name].again is None else 2)
    for cut in range(len(text) + 1):
        parts = parts_of(text[:cut], name=name, size=size, choice=REQUIRED)
        assert (cut, content_of(parts), joined(parts).content) == (cut, "", "")


@pytest.mark.parametrize("name", [name for name in LAYOUTS if LAYOUTS[name].again is not None])
@pytest.mark.parametrize("choice", [AUTO, REQUIRED])
def test_a_further_call_that_is_cut_anywhere_leaves_no_content(name, choice):
    text = called(name)
    parts = parts_of(text, name=name, choice=choice)
    first = next(cut for cut in range(len(text)) if _num_calls(text[:cut], name))

    assert joined(parts).content == ""
    for cut in range(first, len(text)):
        parts = parts_of(text[:cut], name=name, choice=choice)
        assert (cut, content_of(parts), joined(parts).content) == (cut, "", "")
        assert len(joined(parts).tool_calls) in (1, 2)


def _num_calls(text, name):
    return len(joined(parts_of(text, name=name)).tool_calls)


@pytest.mark.parametrize("choice", [AUTO, REQUIRED])
def test_a_marker_that_is_cut_within_a_character_is_a_marker(choice):
    text = called("deepseek_v3")
    again = text.index("\n<", 30)

    def content(cut):
        return content_of(parts_of(f"{text[:cut]}\ufffd", name="deepseek_v3", choice=choice))

    assert content(1) == ("<\ufffd" if choice is AUTO else "")
    assert [content(cut) for cut in (again, again + 1, again + 2)] == ["", "", ""]


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("name", LAYOUTS)
def test_in_auto_a_partial_marker_is_text_and_a_whole_one_is_a_call(name, size):
    marker, text = LAYOUTS[name].marker, f"\n{called(name)}"
    for cut in range(2, len(marker)):
        written = text[:cut]
        assert content_of(parts_of(written, name=name, size=size)) == written
    written = text[: len(marker) + 1]
    parts = parts_of(written, name=name, size=size)

    assert (content_of(parts), joined(parts).content) == ("", written.lstrip())
    assert isinstance(parts[-1], CallCut)
