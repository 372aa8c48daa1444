"""The fields of a request: what they mean to the engine, and which are refused by name."""

import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.openai.unsupported import FIELDS
from concordance_inference.server.served_models import OneModel
from fake_engine import INFO, FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient

ASK = {"model": "fake", "input": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}
TOOL = {"type": "function", "name": "f", "parameters": {}, "strict": True}


def post(client, **fields):
    return client.post("/v1/responses", json={**ASK, **fields})


def refused(client, **fields):
    got = post(client, **fields)
    assert got.status_code == 400, got.text
    return got.json()["error"]


def submitted(serve, **fields):
    engine = FakeEngine()
    got = post(serve(engine), **fields)
    assert got.status_code == 200, got.text
    return engine.requests[0]


@pytest.mark.parametrize(
    ("given", "number"),
    [({"type": "text"}, 0), ({"type": "json_object"}, 1), (FORMAT, 1)],
)
def test_the_format_of_the_text_is_enforced(serve, given, number):
    request = submitted(serve, text={"format": given})

    assert len(request.mods) == number
    assert request.conversation.schemas.response_format.type == given["type"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "s"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format.schema"),
        ({"text": {"formt": {}}}, "text"),
        ({"text": {"format": {"type": "json_object"}}, "regex": "a"}, "regex"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL, {"type": "custom", "name": "c"}]}, "tools[1].type"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].function"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{**TOOL, "defer_loading": True}]}, "tools[0].defer_loading"),
        ({"reasoning": {"summary": "concise"}}, "reasoning.summary"),
        ({"reasoning": {"effort": "none", "enabled": True}}, "reasoning.enabled"),
        ({"reasoning": {"max_tokens": -2}}, "reasoning.max_tokens"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": ["all"]}, "include[0]"),
        ({"metadata": {"a": 5}}, "metadata[...]"),
        ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 2, "min_tokens": 3}, "min_tokens"),
        ({"background": True, "store": False}, "store"),
        ({"stream_options": {"include_tokens": True}}, "stream_options.include_tokens"),
        ({"stream_options": {"include_retractions": True}}, "stream_options.include_retractions"),
        ({"prompt_cache_options": {"prewarm": True}}, "prompt_cache_options.prewarm"),
        ({"truncation": "some"}, "truncation"),
        ({"max_outptu_tokens": 5}, "max_outptu_tokens"),
        ({"input": "too long"}, "input"),
        ({"chat_template_kwargs": {"x": 1}}, "chat_template_kwargs.x"),
    ],
)
def test_a_field_is_refused_by_its_name_in_this_api(client, fields, param):
    assert refused(client, **fields)["param"] == param


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("max_tokens", 5, "max_output_tokens"),
        ("messages", [{"role": "user", "content": "hi"}], "input"),
        ("response_format", {"type": "json_object"}, "text.format"),
        ("conversation", "conv_1", "previous_response_id"),
        ("prompt", {"id": "pmpt_1"}, "instructions and input"),
    ],
)
def test_a_field_of_another_api_is_refused_with_its_name_here(client, name, value, other):
    error = refused(client, **{name: value})

    assert error["param"] == name
    assert other in error["message"]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_fields_that_no_api_here_has_are_refused_or_have_a_meaning(client, name):
    got = post(client, **{name: {"no": "such value"}})

    assert got.status_code == 400, got.text
    assert got.json()["error"]["param"].startswith(name)


def test_reasoning_is_switched_and_limited_as_in_chat_requests(serve):
    client = serve()
    rendered = client.app.state.context.models.named(None).chat.rendered
    post(client, reasoning={"effort": "none"})
    post(client, reasoning={"effort": "high", "max_tokens": 5})

    assert [options["enable_thinking"] for options in rendered] == [False, True]


def test_obfuscation_of_streams_is_accepted_and_not_done(client):
    assert post(client, stream=True, stream_options={"include_obfuscation": True}).is_success


class WholeChat(FakeChat):
    """Renders all texts to one token a character."""

    def render(self, messages, *_, **__):
        return [1] * sum(len(message.text) for message in messages)


def test_truncation_drops_the_oldest_turns_and_says_so():
    engine = FakeEngine()
    context = ServerContext(models=OneModel(engine, WholeChat()), mods=mod_catalog())
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    turn = [{"role": "user", "content": "x" * 30}, {"role": "assistant", "content": "y"}]
    items = [*turn * 5, {"role": "user", "content": "hi"}]
    assert refused(client, input=items)["code"] == "context_length_exceeded"
    body = post(client, input=items, truncation="auto").json()

    assert body["concordance"]["dropped_items"] == 4
    assert len(engine.requests[0].prompt_ids) < INFO.context_length
