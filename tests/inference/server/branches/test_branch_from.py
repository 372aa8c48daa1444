"""Completions that branch off others, through each API, on a tiny model."""

import json

import pytest
from branching_client import branch_client
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from msgspec.structs import replace
from resuming import assert_equal, chat, post
from starlette.testclient import TestClient

SPOKEN = "<think>\nLet me see. \n</think>\n\nIt is 4."
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 12}}\n</tool_call>'
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    with branch_client(tmp_path_factory.mktemp("models")) as client:
        yield client


def speaks(text):
    return {"mods": [{"name": "speaks", "params": {"text": text}}]}


def branch(client, parent_id, position, *, stream=False, **fields):
    point = {"id": parent_id, "position": position}
    point |= {name: fields.pop(name) for name in ("token_ids", "text") if name in fields}
    return chat(client, stream=stream, messages=None, branch_from=point, **fields)


#: What the model says, and the fields of the request.
SAID = {
    "text": ("Plain é€😀 text.", {}),
    "reasoning": (SPOKEN, {}),
    "call": (f"Wait. {CALL}", {"tools": [TOOL]}),
    "reasoning and call": (f"<think>Hm</think>{CALL}", {"tools": [TOOL]}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", SAID)
def test_a_branch_that_repeats_its_parent_is_read_from_the_beginning_of_the_turn(
    client, name, stream
):
    text, fields = SAID[name]
    whole = chat(client, **fields, **speaks(text))

    for position in range(0, whole.usage["completion_tokens"], 11):
        again = branch(client, whole.id, position, stream=stream)
        assert_equal(again, whole)
        assert again.reason == whole.reason
        assert again.about["branch"] == {
            "id": again.id,
            "parent": whole.id,
            "position": position,
            "read_tokens": 1,
            "cached_tokens": whole.usage["prompt_tokens"] + position - 1,
        }
        for count in ("prompt_tokens", "completion_tokens"):
            assert again.usage[count] == whole.usage[count]


def test_a_branch_puts_a_text_at_a_position(client):
    parent = chat(client, **speaks("It is fine."))

    other = branch(client, parent.id, 6, text="was so.", **speaks("It is was so. Yes"))

    assert other.content == "It is was so. Yes"
    assert other.usage["completion_tokens_details"]["forced_tokens"] == len("was so.")


def test_the_first_and_the_last_chunk_of_a_stream_name_the_branch(client):
    parent = chat(client, **speaks("It is fine."))
    point = {"id": parent.id, "position": 3, "text": "b"}
    got = post(client, "/v1/chat/completions", branch_from=point, stream=True)
    chunks = [json.loads(line[6:]) for line in got.text.splitlines() if line.startswith("data: {")]

    named = [i for i, chunk in enumerate(chunks) if "branch" in chunk.get("concordance", {})]
    assert named == [0, len(chunks) - 1]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[0]["concordance"] == chunks[-1]["concordance"]
    assert "It bs" in "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_completion_branches(client, stream):
    body = {"prompt": "A question to ask", "max_tokens": 8, "seed": 3, "ignore_eos": True}
    parent = post(client, "/v1/completions", return_token_ids=True, **body).json()
    token_ids = parent["choices"][0]["token_ids"]
    point = {"id": parent["id"], "position": 4, "token_ids": [token_ids[4]]}

    got = post(client, "/v1/completions", branch_from=point, stream=stream)
    if stream:
        data = [line[6:] for line in got.text.splitlines() if line.startswith("data: {")]
        choices = [json.loads(each)["choices"][0] for each in data]
        assert choices[0]["concordance"]["branch"]["parent"] == parent["id"]
        text, last = "".join(each["text"] for each in choices), choices[-1]
    else:
        (last,) = got.json()["choices"]
        text = last["text"]
        assert got.json()["usage"]["completion_tokens"] == 8

    assert text == parent["choices"][0]["text"]
    assert last["finish_reason"] == "length"
    assert last["concordance"]["branch"]["read_tokens"] == 1


def test_a_response_branches_and_later_ones_continue_from_it(client):
    parent = post(client, "/v1/responses", input="A question", **speaks("It is fine.")).json()
    point = {"id": parent["id"], "position": 6, "text": "bad."}
    other = post(client, "/v1/responses", branch_from=point, **speaks("It is bad.")).json()

    assert other["output"][0]["content"][0]["text"] == "It is bad."
    assert other["concordance"]["branch"]["parent"] == parent["id"]
    assert other["concordance"]["branch"]["id"] == other["id"]
    turns = {"input": "Next", "previous_response_id": other["id"], **speaks("x")}
    assert post(client, "/v1/responses", **turns).json()["usage"]["input_tokens"] > 10


def test_a_message_of_anthropics_api_branches(client):
    asked = [{"role": "user", "content": "A question"}]
    body = {"messages": asked, "max_tokens": 99, **speaks("It is fine.")}
    parent = post(client, "/v1/messages", **body).json()
    point = {"id": parent["id"], "position": 6, "text": "bad."}
    fields = {"branch_from": point, "max_tokens": 99, **speaks("It is bad.")}

    other = post(client, "/v1/messages", **fields).json()
    stream = post(client, "/v1/messages", stream=True, **fields).text

    assert other["content"][0]["text"] == "It is bad."
    assert other["concordance"]["branch"]["parent"] == parent["id"]
    assert f'"parent":"{parent["id"]}"' in stream


def test_each_choice_of_a_response_can_be_branched_from(client):
    body = {"n": 3, "seed": 3, "ignore_eos": True, "max_tokens": 6, "return_token_ids": True}
    asked = [{"role": "user", "content": "hi"}]
    parent = post(client, "/v1/chat/completions", messages=asked, **body).json()
    for i, choice in enumerate(parent["choices"]):
        named = f"{parent['id']}:{i}" if i else parent["id"]
        point = {"id": named, "position": 3}
        got = post(client, "/v1/chat/completions", branch_from=point, return_token_ids=True)

        assert got.json()["choices"][0]["token_ids"] == choice["token_ids"]
        assert got.json()["concordance"]["branch"]["parent"] == named


# Errors


@pytest.mark.parametrize(
    ("point", "fields", "status", "param"),
    [
        ({"id": "chatcmpl-none"}, {}, 404, "branch_from.id"),
        ({"id": ""}, {}, 400, "branch_from.id"),
        ({"position": 99}, {}, 400, "branch_from.position"),
        ({"position": 5}, {}, 400, "branch_from.position"),
        ({"position": -1}, {}, 400, "branch_from.position"),
        ({"token_ids": [1, 10**6]}, {}, 400, "branch_from.token_ids[1]"),
        ({"token_ids": [-1]}, {}, 400, "branch_from.token_ids[0]"),
        ({"token_ids": [1], "text": "a"}, {}, 400, "branch_from.text"),
        ({"tokens": [1]}, {}, 400, "branch_from"),
        ({}, {"max_tokens": 1}, 400, "max_tokens"),
        ({}, {"n": 2}, 400, "n"),
        ({}, {"resume_from": "x"}, 400, "branch_from"),
        ({}, {"messages": [{"role": "user", "content": "a"}]}, 400, "messages"),
        ({}, {"tools": [TOOL]}, 400, "tools"),
        ({}, {"regex": "a"}, 400, "regex"),
        ({}, {"cache_salt": "other"}, 404, "branch_from.id"),
        ({}, {"stop_token_ids": [10**6]}, 400, "stop_token_ids[0]"),
        ({}, {"mods": ["nothing"]}, 404, "mods[0]"),
    ],
)
def test_a_branch_that_cannot_be_is_refused_by_name(client, point, fields, status, param):
    parent = chat(client, max_tokens=9, **speaks("abcd"))
    point = {"id": parent.id, "position": 2, **point}
    body = {"model": client.model, "branch_from": point, **fields}
    got = client.post("/v1/chat/completions", json=body)

    assert (got.status_code, got.json()["error"]["param"]) == (status, param), got.text
    assert branch(client, parent.id, 2).content == "abcd"


def test_retractions_are_refused_for_a_branch_with_tools(client):
    parent = chat(client, tools=[TOOL], **speaks("abcd"))
    body = {"branch_from": {"id": parent.id, "position": 1}, "stream": True}
    options = {"include_retractions": True}
    got = client.post(
        "/v1/chat/completions", json={"model": client.model, "stream_options": options, **body}
    )

    assert (got.status_code, got.json()["error"]["param"]) == (400, "branch_from")


def test_a_format_refuses_tokens_that_it_does_not_allow(client):
    parent = chat(client, regex="[ab]+", max_tokens=6, **speaks("aabbab"))
    allowed = branch(client, parent.id, 2, text="b", **speaks("aabbab"))
    point = {"id": parent.id, "position": 2, "text": "x"}
    got = client.post("/v1/chat/completions", json={"model": client.model, "branch_from": point})

    assert allowed.content == "aabbab"
    assert (got.status_code, got.json()["error"]["code"]) == (422, "constraint_error")


def test_a_completion_that_another_model_generates_is_refused_with_its_name():
    engine = FakeEngine()
    other = FakeEngine()
    other.model = replace(engine.model, id="other")
    context = ServerContext(models=OneModel(engine, FakeChat()), mods=ModCatalog([]))
    running = context.running.begin("abc", "/v1/chat/completions")
    running.run(other, ())
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    body = {"model": engine.model.id, "branch_from": {"id": "chatcmpl-abc", "position": 1}}
    got = client.post("/v1/chat/completions", json=body)

    assert (got.status_code, got.json()["error"]["param"]) == (400, "branch_from.id")
    assert "name 'other' as the model" in got.json()["error"]["message"]
