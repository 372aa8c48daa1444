"""The fields of a chat request about tools, and the calls of its response."""

import json

import pytest
from concordance_inference.tools.choice import tool_choice
from concordance_inference.tools.offer import ToolChoice
from concordance_shared import FinishReason, InvalidRequestError
from fake_engine import FakeEngine, says

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_weather", "now")
]
CALL = '<tool_call>\n{"name": "now", "arguments": {"zone": "CET"}}\n</tool_call>'


def post(client, **fields):
    body = {"model": "fake", "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS}
    return client.post("/v1/chat/completions", json=body | fields)


def offer(serve, **fields):
    engine = FakeEngine()
    response = post(serve(engine), **fields)
    assert response.status_code == 200, response.text
    return engine.requests[0].offer


def function(name):
    return {"type": "function", "function": {"name": name}}


def test_a_call_is_returned_with_an_id_and_arguments_as_text(serve):
    choice = post(serve(FakeEngine(says("Let me see. ", CALL)))).json()["choices"][0]
    call = choice["message"]["tool_calls"][0]

    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me see."
    assert call.pop("id").startswith("call_")
    assert call == {
        "type": "function",
        "function": {"name": "now", "arguments": '{"zone": "CET"}'},
    }


def test_the_content_of_a_message_that_only_calls_is_null(serve):
    message = post(serve(FakeEngine(says(CALL)))).json()["choices"][0]["message"]

    assert message["content"] is None


def test_a_stream_has_the_name_once_and_the_arguments_as_they_come(serve):
    pieces = [CALL[i : i + 9] for i in range(0, len(CALL), 9)]
    response = post(serve(FakeEngine(says(*pieces))), stream=True)
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: {")]
    choices = [json.loads(line)["choices"][0] for line in lines]
    calls = [c["delta"]["tool_calls"][0] for c in choices if "tool_calls" in c["delta"]]

    assert choices[-1]["finish_reason"] == "tool_calls"
    assert calls[0].pop("id").startswith("call_")
    assert calls[0] == {
        "index": 0,
        "type": "function",
        "function": {"name": "now", "arguments": ""},
    }
    assert all(call.keys() == {"index", "function"} for call in calls[1:])
    assert len(calls) > 2
    assert "".join(c["function"]["arguments"] for c in calls) == '{"zone": "CET"}'


def test_without_tools_a_text_that_looks_like_a_call_is_content(serve):
    for fields in ({"tools": None}, {"tool_choice": "none"}):
        message = post(serve(FakeEngine(says(CALL))), **fields).json()["choices"][0]["message"]

        assert message["content"] == CALL
        assert "tool_calls" not in message


def test_an_incomplete_call_is_content_and_the_reason_is_length(serve):
    engine = FakeEngine(says(CALL[:40], finish_reason="length"))
    choice = post(serve(engine)).json()["choices"][0]

    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == CALL[:40]
    assert "tool_calls" not in choice["message"]


@pytest.mark.parametrize(
    ("fields", "names", "is_required", "is_parallel"),
    [
        ({}, ["get_weather", "now"], False, True),
        ({"tool_choice": "auto"}, ["get_weather", "now"], False, True),
        ({"tool_choice": "required"}, ["get_weather", "now"], True, True),
        ({"parallel_tool_calls": False}, ["get_weather", "now"], False, False),
        ({"tool_choice": function("now")}, ["now"], True, False),
        ({"tool_choice": function("now"), "parallel_tool_calls": True}, ["now"], True, False),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [function("now")]},
                }
            },
            ["now"],
            True,
            True,
        ),
    ],
)
def test_the_choice_says_what_may_be_called(serve, fields, names, is_required, is_parallel):
    found = offer(serve, **fields)

    assert list(found.by_name) == names
    assert (found.is_required, found.is_parallel) == (is_required, is_parallel)


def test_nothing_is_offered_without_tools_or_with_the_choice_none(serve):
    assert offer(serve, tool_choice="none") is None
    assert offer(serve, tools=None, tool_choice="auto") is None
    assert offer(serve, tools=[], tool_choice="none", parallel_tool_calls=True) is None


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"tool_choice": function("other")}, "tool_choice", "no tool 'other'"),
        ({"tool_choice": "required", "tools": None}, "tool_choice", "no tools"),
        ({"tool_choice": function("now"), "tools": []}, "tool_choice", "no tools"),
        ({"tool_choice": "some"}, "tool_choice", "allowed_tools"),
        ({"tool_choice": {"type": "custom"}}, "tool_choice", "function"),
        ({"tool_choice": {"type": "function"}}, "tool_choice", "names no function"),
        ({"tool_choice": 3}, "tool_choice", ""),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}},
            "tool_choice.allowed_tools.tools",
            "empty",
        ),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools[1].function.name", "tools[0] has the name"),
        ({"tools": [function("a b")]}, "tools[0].function.name", "not the name of a function"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", ""),
        ({"functions": [{"name": "now"}]}, "functions", "not supported"),
        ({"function_call": {"name": "now"}}, "function_call", "not supported"),
        (
            {"stream": True, "stream_options": {"include_retractions": True}},
            "tools",
            "include_retractions",
        ),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(client, fields, param, message):
    response = post(client, **fields)
    error = response.json()["error"]

    assert response.status_code == 400
    assert error["param"] == param
    assert message in error["message"]


def test_flat_shapes_of_the_responses_api_are_read():
    named = tool_choice({"type": "function", "name": "f"}, has_tools=True, parallel=None)
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "f"}]}

    assert named == ToolChoice(mode="required", names=("f",), is_parallel=False)
    assert tool_choice(allowed, has_tools=True, parallel=False) == ToolChoice(
        mode="auto", names=("f",), is_parallel=False
    )
    with pytest.raises(InvalidRequestError):
        tool_choice([], has_tools=True, parallel=None)


# Calls that are cut, in every API

OPENED = '<tool_call>\n{"'
CUTS = [
    *(CALL[:size] for size in (1, 5, 11, 14, 40)),
    *(f"{CALL}\n{OPENED}"[: len(CALL) + size] for size in (1, 2, 6, 12, 14)),
]
APIS = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": TOOLS,
        "tool_choice": "required",
    },
    "/v1/messages": {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 50,
        "tools": [{"name": "now", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"},
    },
    "/v1/responses": {
        "input": "Hi",
        "tools": [{"type": "function", "name": "now", "parameters": {"type": "object"}}],
        "tool_choice": "required",
    },
}


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("text", CUTS)
def test_required_calls_that_are_cut_leave_no_content(serve, path, stream, text):
    pieces = [text[i : i + 5] for i in range(0, len(text), 5)]
    client = serve(FakeEngine(says(*pieces, finish_reason=FinishReason.LENGTH)))
    response = client.post(path, json={"model": "fake", **APIS[path], "stream": stream})

    assert response.status_code == 200
    assert "tool_call>" not in response.text
    assert '"<' not in response.text
    assert "\\n" not in response.text
    assert response.text.count("text_delta") == 0
    assert response.text.count("output_text.delta") == 0
    if text.startswith(CALL):
        assert "CET" in response.text
