"""The `input` of a request: each type of item, and each fault by its path."""

import json

import pytest
from concordance_inference.server.responses.encrypted_content import encoded_reasoning
from fake_engine import FakeEngine

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
IMAGE = {"type": "input_image", "image_url": "data:,"}


def post(client, given):
    return client.post("/v1/responses", json={"model": "fake", "input": given})


def messages(serve, given):
    """The messages of a request with this input."""
    engine = FakeEngine()
    response = post(serve(engine), given)
    assert response.status_code == 200, response.text
    return engine.requests[0].conversation.messages


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
@pytest.mark.parametrize("kind", ["input_text", "output_text", "text"])
def test_a_message_of_any_role_has_text_parts(serve, role, kind):
    parts = [{"type": kind, "text": "a"}, {"type": kind, "text": "b"}]
    item = {"type": "message", "role": role, "content": parts, "status": None, "id": None}
    message, _ = messages(serve, [item, USER])

    assert (message.role, message.text) == (role, "ab")


def test_a_refusal_is_text_of_the_assistant(serve):
    item = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}

    assert messages(serve, [item])[0].text == "no"


def test_calls_and_their_outputs_are_messages_as_in_chat_completions(serve):
    parts = [{"type": "input_text", "text": "4"}, {"type": "input_text", "text": "2"}]
    _, message, tool, other = messages(
        serve, [USER, CALL, {**CALL, "call_id": "b"}, {**OUTPUT, "output": parts}, OUTPUT]
    )

    assert [call.id for call in message.tool_calls] == ["call_1", "b"]
    assert message.content is None
    assert (tool.role, tool.text, tool.tool_call_id) == ("tool", "42", "call_1")
    assert other.text == "42"


@pytest.mark.parametrize(
    "fields",
    [
        {"content": [{"type": "reasoning_text", "text": "hm"}], "summary": []},
        {"content": [], "summary": [], "encrypted_content": encoded_reasoning("hm")},
        {"content": None, "summary": [{"type": "summary_text", "text": "hm"}]},
        {"content": [{"type": "reasoning_text", "text": "hm"}], "encrypted_content": "foreign"},
    ],
)
def test_reasoning_is_that_of_the_message_after_it(serve, fields):
    reasoning = {"type": "reasoning", "id": "rs_1", **fields}
    _, message, _ = messages(serve, [USER, reasoning, {"role": "assistant", "content": "a"}, USER])

    assert (message.reasoning_content, message.text) == ("hm", "a")


FAULTS = [
    ([USER, {"type": "web_search_call", "id": "w"}], "input[1].type"),
    ([USER, {"type": "mesage", "role": "user", "content": ""}], "input[1].type"),
    ([{"role": "tool", "content": "a"}], "input[0].role"),
    ([{"role": "user"}], "input[0].content"),
    ([{"content": "a"}], "input[0].role"),
    ([{"role": "user", "content": 5}], "input[0].content"),
    ([USER, {"role": "user", "content": [{"type": "input_text", "text": "a"}, IMAGE]}], ""),
    ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
    ([{**CALL, "name": 5}], "input[0].name"),
    ([{"type": "function_call", "call_id": "c", "arguments": "{}"}], "input[0].name"),
    ([{**CALL, "arguments": {}}], "input[0].arguments"),
    ([{**CALL, "arguments": "[" * 200 + "]" * 200}], "input[0].arguments"),
    ([USER, OUTPUT], "input[1].call_id"),
    ([USER, CALL, {**OUTPUT, "output": [IMAGE]}], "input[2].output[0].type"),
    (
        [{"type": "reasoning", "summary": [], "encrypted_content": "gAAAA"}],
        "input[0].encrypted_content",
    ),
    ([{"type": "reasoning", "summary": [{"type": "x", "text": "a"}]}], "input[0].summary[0].type"),
    ([5], "input[0]"),
    ([], "input"),
    (5, "input"),
    ([{"role": "user", "content": [{"type": "input_text", "text": "a"}] * 5000}], ""),
    ([USER] * 5000, "input"),
]


@pytest.mark.parametrize(("given", "param"), FAULTS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_fault_is_refused_with_its_path(client, given, param):
    got = post(client, given)

    assert got.status_code == 400, got.text
    error = got.json()["error"]
    if param:
        assert error["param"] == param
    else:
        assert error["param"].startswith(("input[0].content", "input[1].content[1].type"))


def test_an_image_is_refused_with_what_would_be_right(client):
    message = post(client, [{"role": "user", "content": [IMAGE]}]).json()["error"]["message"]

    assert message.startswith("input[0].content[0] is of type 'input_image'; this model takes text")


def test_a_misspelled_type_is_refused_with_the_one_that_was_meant(client):
    message = post(client, [{"type": "functon_call"}]).json()["error"]["message"]

    assert "did you mean" in message
    assert "function_call" in message


def test_input_that_is_missing_is_refused(client):
    got = client.post("/v1/responses", json={"model": "fake"})

    assert (got.status_code, got.json()["error"]["param"]) == (400, "input")


def test_ids_that_clients_send_are_kept(client):
    item = {**USER, "type": "message", "id": "msg_mine"}
    response_id = post(client, [item]).json()["id"]
    items = client.get(f"/v1/responses/{response_id}/input_items").json()["data"]

    assert [each["id"] for each in items] == ["msg_mine"]
    assert json.dumps(items)
