"""Fields that decide how messages become a prompt, and the forms of tool calls."""

import pytest
from concordance_inference.chat.rendering import USUAL, Rendering
from concordance_shared import FunctionCall, ToolCall
from openai import OpenAI

URL = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def posted(serve, **fields):
    client = serve()
    response = client.post(URL, json={**ASK, **fields})
    served = client.app.state.context.models.named(None)
    return response, served.chat.renderings, served.engine.requests


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, USUAL),
        ({"add_generation_prompt": None, "continue_final_message": None}, USUAL),
        ({"add_generation_prompt": True, "continue_final_message": False}, USUAL),
        ({"add_generation_prompt": False}, Rendering(adds_generation_prompt=False)),
        ({"continue_final_message": True}, Rendering(continues_final_message=True)),
        (
            {"continue_final_message": True, "add_generation_prompt": False},
            Rendering(continues_final_message=True, adds_generation_prompt=False),
        ),
        ({"allow_control_tokens": False}, USUAL),
        ({"allow_control_tokens": True}, Rendering(allows_control_tokens=True)),
    ],
)
def test_the_fields_decide_how_messages_are_rendered(serve, fields, expected):
    response, renderings, _ = posted(serve, **fields)

    assert response.status_code == 200, response.text
    assert renderings == [expected]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        (
            {"add_generation_prompt": True, "continue_final_message": True},
            "add_generation_prompt",
            "set only one of them",
        ),
        ({"add_generation_prompt": 1}, "add_generation_prompt", "expected `bool"),
        ({"continue_final_message": "yes"}, "continue_final_message", "expected `bool"),
        ({"allow_control_tokens": []}, "allow_control_tokens", "expected `bool"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(serve, fields, param, words):
    response, renderings, _ = posted(serve, **fields)
    error = response.json()["error"]

    assert (response.status_code, error["param"]) == (400, param)
    assert words in error["message"]
    assert renderings == []


def test_the_official_client_sets_them_as_extra_fields(serve):
    http = serve()
    client = OpenAI(base_url=f"{http.base_url}/v1", api_key="k", http_client=http, max_retries=0)
    client.chat.completions.create(**ASK, extra_body={"continue_final_message": True})

    assert http.app.state.context.models.named(None).chat.renderings == [
        Rendering(continues_final_message=True)
    ]


# Tool calls in the forms that clients send


def with_call(**call):
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": [{"type": "text", "text": "20"}]},
    ]
    return {"messages": messages}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}, "{}"),
        ({"id": "c", "function": {"name": "f"}}, "{}"),
        ({"id": "c", "function": {"name": "f", "arguments": None}}, "{}"),
        ({"id": "c", "function": {"name": "f", "arguments": ""}}, ""),
        ({"id": "c", "function": {"name": "f", "arguments": {}}}, "{}"),
        ({"id": "c", "function": {"name": "f", "arguments": {"a": "é"}}}, '{"a":"é"}'),
        ({"id": "c", "type": None, "function": {"name": "f", "arguments": "{"}}, "{"),
    ],
)
def test_arguments_are_text_or_an_object(serve, call, expected):
    response, _, requests = posted(serve, **with_call(**call))

    assert response.status_code == 200, response.text
    message = requests[0].conversation.messages[1]
    assert message.tool_calls == (ToolCall(id="c", function=FunctionCall("f", expected)),)


@pytest.mark.parametrize("call_id", [{}, {"id": None}, {"id": ""}])
def test_a_call_needs_no_id(serve, call_id):
    response, _, requests = posted(serve, **with_call(**call_id, function={"name": "f"}))

    assert response.status_code == 200, response.text
    assert requests[0].conversation.messages[1].tool_calls[0].id == ""


@pytest.mark.parametrize(
    ("function", "param"),
    [
        ({"arguments": "{}"}, "messages[1].tool_calls[0].function.name"),
        ({"name": "f", "arguments": []}, "messages[1].tool_calls[0].function.arguments"),
        ({"name": "f", "arguments": 3}, "messages[1].tool_calls[0].function.arguments"),
        (
            {"name": "f", "arguments": {"a": "x" * 2**18}},
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_their_path(serve, function, param):
    response, _, _ = posted(serve, **with_call(id="c", function=function))

    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


def test_an_object_nested_too_deeply_is_refused(serve):
    nested = {}
    for _ in range(150):
        nested = {"a": nested}
    response, _, _ = posted(serve, **with_call(id="c", function={"name": "f", "arguments": nested}))

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[1].tool_calls[0].function.arguments"
