"""The mods that enforce calls of tools, played on a scripted model."""

import json

import pytest
from concordance_inference.chat.message_reader import read_message
from concordance_inference.mods.call_mod import CallMod
from concordance_inference.mods.format_mod import FormatMod
from concordance_inference.output_format import OutputFormat
from concordance_inference.reasoning import Reasoning
from concordance_inference.tools.call_output import CallOutput
from concordance_inference.tools.call_reader import CallReader
from concordance_inference.tools.layouts import LAYOUTS
from concordance_inference.tools.offer import AUTO, ToolChoice, tool_offer
from concordance_inference.tools.tool_format import GENERIC, ToolFormat
from concordance_sdk import mod
from concordance_sdk.composition import ModUse
from concordance_sdk.constraints import Regex, constrain
from concordance_sdk.host import definition_of
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import ConstraintError, FunctionSchema, SchemaError, Tool
from fake_engine import completed

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 5}, "days": {"enum": [1, 2]}},
    "required": ["city"],
}
TOOLS = [
    Tool(function=FunctionSchema(name="weather", parameters=CITY)),
    Tool(function=FunctionSchema(name="now")),
]
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
NOW = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'


def offer(choice=AUTO, tools=TOOLS, tool_format=GENERIC):
    return tool_offer(tools, choice, tool_format)


def auto(own=None, reasoning=None):
    parameters = {"offer": own or offer(), "reasoning": reasoning, "kept_ids": ()}
    return ModUse(definition_of(CallMod), parameters)


def required(own=None, other=None):
    output = CallOutput(offer=own or offer(ToolChoice(mode="required")), other=other)
    return ModUse(definition_of(FormatMod), {"output": output, "opens": False})


def calls_in(text, own=None):
    message = read_message(CallReader(own or offer()), completed(text))
    return [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls]


def test_text_without_a_marker_is_free():
    assert play(auto(), says="Hello <tool>, {").text == "Hello <tool>, {"


def test_the_grammar_begins_where_the_model_opens_a_call():
    played = play(auto(), script="So: <tool_call>" + "w" * 30)

    assert played.text.startswith('So: <tool_call>\n{"name": "weather", "arguments": {"city": "')


def test_a_call_ends_the_message_or_another_one_follows():
    assert play(auto(), script=CALL).text == CALL
    assert play(auto(), script=f"{CALL}\n{NOW}").text == f"{CALL}\n{NOW}"
    assert play(auto(offer(ToolChoice(is_parallel=False))), script=f"{CALL}\n{NOW}").text == CALL


def test_a_required_call_begins_with_the_first_token():
    assert play(required(), script="Hello").text.lstrip().startswith("<tool_call>")
    assert play(required(), script=CALL).text == CALL


def test_a_named_tool_is_called_once():
    own = offer(ToolChoice(mode="required", names=("now",), is_parallel=False))

    assert play(required(own), script=CALL).text == NOW


def test_with_a_format_a_message_calls_or_follows_it():
    other = OutputFormat(kind="choice", value=["yes", "no"], param="choice")

    assert play(required(other=other), script="yes").text == "yes"
    assert calls_in(play(required(other=other), script=CALL).text) == [
        ("weather", {"city": "Paris"})
    ]


@pytest.mark.parametrize(
    ("says", "is_call"),
    [
        ("<think>a <tool_call> b</think>yes", False),
        (f"<think>a</think>\n\n{NOW}", True),
        ("  <think>x", False),
        (NOW, True),
    ],
)
def test_calls_are_opened_after_the_reasoning_only(says, is_call):
    reasoning = Reasoning(tags=(("<think>", "</think>"),))
    text = play(auto(reasoning=reasoning), script=says).text

    assert text == says
    assert bool(calls_in(text.rpartition("</think>")[2])) == is_call


def test_a_reasoning_that_the_prompt_opened_ends_at_its_tag():
    reasoning = Reasoning(tags=(("<think>", "</think>"),), opened=("<think>", "</think>"))
    says = f"see <tool_call>?</think>{NOW}"

    assert play(auto(reasoning=reasoning), script=says).text == says


class Wide(ByteTokenizer):
    """Bytes, and a token that goes beyond the end of the marker."""

    vocab_size = 258

    def token_bytes(self, token_id):
        return b"l>abc" if token_id == 257 else super().token_bytes(token_id)

    def decode(self, token_ids, *, skip_special_tokens=False):
        data = b"".join(self.token_bytes(i) for i in token_ids if i != 256)
        return data.decode(errors="replace")


def test_a_token_that_goes_beyond_the_marker_is_split():
    script = [*b"<tool_cal", 257, *b"\n"]
    text = play(auto(), script=script, tokenizer=Wide(), stream=True).text

    assert text.startswith('<tool_call>\n{"name": "')


@mod
class Breaks:
    """Forces a text after the marker."""

    def __init__(self):
        self.text = ""

    def added(self, event, actions, tokenizer):
        self.text += tokenizer.decode(event.added_tokens)
        if self.text.endswith("<tool_call>"):
            return actions.force_tokens(tokenizer.encode("{}"))


def test_a_mod_that_breaks_a_call_is_an_error_that_names_tools():
    with pytest.raises(ConstraintError, match="a mod of the request forced it") as raised:
        play(Breaks, auto(), script=CALL)

    assert raised.value.param == "tools"


def test_a_marker_in_a_text_that_another_mod_constrains_opens_nothing():
    text = constrain(Regex("a<tool_call>b"), ends=False)

    assert play(text, auto(), script="a<tool_call>bcd").text == "a<tool_call>bcd"


@mod
class Again:
    """Backtracks once over a whole call."""

    def __init__(self):
        self.is_done = False

    def added(self, event, actions, tokenizer):
        del tokenizer
        if event.step > 30 and not self.is_done:
            self.is_done = True
            count = event.step + len(event.added_tokens)
            return actions.backtrack(count, list(b"Hello"))


def test_a_call_that_a_mod_backtracks_over_is_free_text_again():
    assert play(Again, auto(), script=CALL).text == f"Hello{CALL[5:]}"


@pytest.mark.parametrize(
    ("parameters", "param", "message"),
    [
        ({"properties": {"a": {"pattern": "(?<=a)b"}}}, ".properties.a.pattern", "look-behind"),
        ({"properties": {"a": {"uniqueItems": True, "type": "array"}}}, "", "uniqueItems"),
        ({"type": "string"}, ".type", "object"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, ".properties.a.type", "text"),
    ],
)
@pytest.mark.parametrize("make", [auto, required])
def test_a_schema_that_cannot_be_enforced_is_refused_with_its_place(
    make, parameters, param, message
):
    tools = [TOOLS[1], Tool(function=FunctionSchema(name="f", parameters=parameters))]

    used = make(offer(ToolChoice(mode="required"), tools))
    target = used.definition.target
    own = target.__new__(target)
    for name, value in used.parameters.items():
        setattr(own, name, value)
    own.__init__()
    with pytest.raises(SchemaError, match=message) as raised:
        own.prepare(ByteTokenizer())

    assert raised.value.param == f"tools[1].function.parameters{param}"
    assert "JsonSchema(" not in raised.value.message


@pytest.mark.parametrize("name", ["json_tools", "mistral_list", "deepseek_v3", "kimi_k2"])
def test_each_format_writes_what_its_reader_reads(name):
    own = offer(
        ToolChoice(mode="required"), tool_format=ToolFormat(name=name, layout=LAYOUTS[name])
    )
    text = play(required(own), script="Xyzzy9").text

    assert calls_in(text, own)
