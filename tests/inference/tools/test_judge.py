"""The check of finished completions, which knows nothing of the grammar."""

import pytest
from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.tools.judge import call_fault
from concordance_inference.tools.offer import AUTO, ToolChoice, tool_offer
from concordance_inference.tools.tool_format import GENERIC
from concordance_sdk.builtin import InjectAtStart
from concordance_sdk.host import definition_of
from concordance_shared import ConstraintError, EngineError, FunctionCall, FunctionSchema, Tool
from concordance_shared import ToolCall as Call
from fake_engine import completed
from harmony_ids import OFFER, TURN, completed_of, ids_of

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [Tool(function=FunctionSchema(name="f", parameters=SCHEMA))]
MOD = ModCall(definition=definition_of(InjectAtStart), parameters={}, name="m")


def call(arguments):
    return f'<tool_call>\n{{"name": "f", "arguments": {arguments}}}\n</tool_call>'


def fault(text, choice=AUTO, *, num_mods=1, **fields):
    request = GenerationRequest(
        request_id="r",
        prompt_ids=(1,),
        mods=(MOD,) * num_mods,
        offer=tool_offer(TOOLS, choice, GENERIC),
    )
    return call_fault(request, completed(text, **fields))


@pytest.mark.parametrize("text", ["Hello", call('{"n": 1}'), "Hi <tool_call>"])
def test_right_calls_and_texts_without_calls_pass(text):
    assert fault(text) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [('{"n": "x"}', "schema"), ("{}", "schema"), ("{1}", "JSON"), ('{"n": 1,}', "JSON")],
)
def test_wrong_arguments_are_a_logged_error_of_the_engine(caplog, arguments, message):
    error = fault(call(arguments))

    assert isinstance(error, EngineError)
    assert message in error.message
    assert "request r" in caplog.text


def test_wrong_arguments_beside_a_mod_are_an_error_of_the_request():
    error = fault(call("{}"), num_mods=2)

    assert isinstance(error, ConstraintError)
    assert error.param == "tools"


def test_the_number_of_calls_is_checked():
    one = call('{"n": 1}')

    assert fault(f"{one}\n{one}") is None
    assert "one is allowed" in fault(f"{one}\n{one}", ToolChoice(is_parallel=False)).message
    assert "one is required" in fault("Hello", ToolChoice(mode="required")).message
    assert fault("Hello", ToolChoice(mode="required"), finish_reason="length") is None


def test_calls_of_mods_are_not_checked():
    made = Call(id="call_1", function=FunctionCall(name="other", arguments="{}"))

    assert fault("", tool_calls=(made,)) is None


@pytest.mark.parametrize(("rules", "error"), [(None, type(None)), (object(), EngineError)])
def test_calls_in_harmony_are_checked_where_the_header_guard_enforces_them(rules, error):
    ids = ids_of("<|channel|>commentary to=functions.f<|message|>{1}<|call|>")
    request = GenerationRequest(
        request_id="r", prompt_ids=(1,), harmony=TURN, offer=OFFER, token_rules=rules
    )
    assert isinstance(call_fault(request, completed_of(ids)), error)
