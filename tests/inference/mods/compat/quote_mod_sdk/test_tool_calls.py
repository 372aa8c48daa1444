"""Tool calls as actions, and as messages of the conversation."""

import json

import pytest
from concordance_sdk.testing import play
from concordance_shared import FinishReason, ModRaisedError
from quote_mods import HEADER, upload

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    "payload",
    [
        CALL,
        [CALL],
        {"tool_calls": [CALL]},
        {"tool_calls": CALL},
        {"tool_call": CALL},
        {"function_call": CALL["function"]},
        {"name": "look", "arguments": {"a": 1}},
        [{"name": "look", "arguments": {"a": 1}}],
        {"type": "function", "function": {"name": "look", "arguments": {"a": 1}}},
        json.dumps(CALL),
        json.dumps([CALL]),
        json.dumps({"tool_calls": [CALL]}),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "way",
    ["actions.tool_calls(PAYLOAD)", "actions.tool_calls(payload=PAYLOAD)", "ToolCalls(PAYLOAD)"],
)
@pytest.mark.parametrize("event", ["Prefilled", "Added"])
def test_tool_calls_in_every_form(payload, way, event):
    definition = upload(f"""
{HEADER}
from shared.types import ToolCalls
PAYLOAD = {payload!r}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, {event}):
        return {way}
""")
    played = play(definition, says="text")

    assert played.finish_reason is FinishReason.TOOL_CALLS
    (made,) = played.tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == ("look", {"a": 1})


def test_the_error_for_an_invalid_tool_call_shows_a_valid_one():
    definition = upload(f"{HEADER}@mod\ndef m(event, actions): return actions.tool_calls('look()')")

    with pytest.raises(ModRaisedError, match="not valid JSON.*'look\\(\\)'.*pass a call"):
        play(definition, says="x")


def messages_of(*pairs):
    made = []
    for call_id, content in pairs:
        call = {"id": call_id, "type": "function", "function": {"name": f"f{len(made)}"}}
        made += [{"role": "assistant", "tool_calls": [call]},
                 {"role": "tool", "tool_call_id": call_id, "content": content}]  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("text", "text"),
        ({"user": "u1"}, '{"user": "u1"}'),
        (42, "42"),
        (True, "true"),
        (None, None),
        (["a", "b"], "ab"),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
        ([{"content": "a"}, "b"], "ab"),
        ([], None),
        ([1, 2], None),
    ],
)
def test_tool_results_of_every_content_type(load, content, text):
    definition = load(f"""
{HEADER}
from quote_mod_sdk import tool_call_pairs
MESSAGES = {messages_of(("c1", content))!r}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        ((call, answer),) = tool_call_pairs(MESSAGES)
        assert answer == {text!r} and call["function"]["name"] == "f0"
        call["changed"] = True
        assert "changed" not in tool_call_pairs(MESSAGES)[0][0]
""")

    assert play(definition, says="ok").text == "ok"


def test_tool_calls_with_the_same_id_have_separate_results(load):
    definition = load(f"""
{HEADER}
from quote_mod_sdk.conversation import tool_call_pairs
MESSAGES = {[*messages_of(("c1", "one"), ("c1", "two"), ("c2", "three")),
             {"role": "assistant", "tool_calls": [{"id": "c1"}, {"no": "id"}]},
             {"role": "tool", "tool_call_id": "unknown", "content": "x"}]!r}

@mod
def m(event, actions, tokenizer):
    answers = [answer for _, answer in tool_call_pairs(MESSAGES)]
    assert answers == ["one", "two", "three", None], answers
""")  # fmt: skip

    assert play(definition, says="ok").text == "ok"
