"""Anthropic's client against a random model that reasons: exact counts, streams and ends."""

import json

import anthropic
import pytest
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_folder import write_thinking_folder

TEMPLATE = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}|{% endfor %}a:<think>"
BUDGET = 6


@pytest.fixture(name="client", scope="module")
def _client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thinking") / "tiny"
    config = write_thinking_folder(folder, template=TEMPLATE) / "config.json"
    longer = {**json.loads(config.read_text()), "max_position_embeddings": 2048}
    config.write_text(json.dumps(longer))
    with Runtime(str(folder), mod_catalog(), progress=lambda _: None) as runtime:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=mod_catalog())
        http = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
        with anthropic.Anthropic(
            base_url="http://127.0.0.1:8000", api_key="k", http_client=http, max_retries=0
        ) as client:
            client.runtime = runtime
            yield client


def ask(client, **fields):
    """A request of letters only: each token is a character."""
    letters = {client.runtime.loaded.tokenizer.encode(char)[0] for char in "abcdefgh"}
    bias = {str(i): -100 for i in range(257) if i not in letters}
    return {
        "model": client.runtime.model.id,
        "max_tokens": 24,
        "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "budget_tokens": BUDGET},
        "extra_body": {"seed": 3, "logit_bias": bias},
        **fields,
    }


def test_counts_are_those_of_the_tokens(client):
    made = client.messages.create(**ask(client))
    thinking, text = made.content
    counted = client.messages.count_tokens(
        model=client.runtime.model.id, messages=[{"role": "user", "content": "hi"}]
    )
    usage = made.usage

    assert (len(thinking.thinking), len(text.text)) == (BUDGET, 24 - BUDGET - 1)
    assert (usage.output_tokens, usage.output_tokens_details.thinking_tokens) == (24, BUDGET)
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens
    assert made.stop_reason == "max_tokens"


def test_a_stream_has_the_blocks_of_the_whole_message(client):
    whole = client.messages.create(**ask(client))
    with client.messages.stream(**ask(client)) as stream:
        final = stream.get_final_message()

    assert [block.to_dict() for block in final.content] == [
        block.to_dict() for block in whole.content
    ]
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == whole.stop_reason


def test_the_stop_sequence_that_ended_a_message_is_named(client):
    text = client.messages.create(**ask(client)).content[1].text
    end = text[4:7]
    made = client.messages.create(**ask(client, stop_sequences=["xyz", end]))

    assert made.stop_reason == "stop_sequence"
    assert made.stop_sequence == end
    assert made.content[-1].text == text[: text.index(end)]


def test_a_call_that_is_required_follows_the_thinking(client):
    schema = {"type": "object", "properties": {"a": {"enum": ["b", "c"]}}, "required": ["a"]}
    tools = [{"name": "add", "input_schema": schema}]
    fields = {"tools": tools, "tool_choice": {"type": "any"}, "max_tokens": 150}
    made = client.messages.create(**ask(client, **fields))
    thinking, call = made.content
    with client.messages.stream(**ask(client, **fields)) as stream:
        streamed = stream.get_final_message()

    assert len(thinking.thinking) == BUDGET
    assert (call.name, call.input["a"] in ("b", "c")) == ("add", True)
    assert made.stop_reason == streamed.stop_reason == "tool_use"
    assert streamed.content[1].input == call.input


def test_thinking_that_is_disabled_takes_no_tokens(client):
    made = client.messages.create(**ask(client, thinking={"type": "disabled"}))

    assert [block.type for block in made.content] == ["text"]
    assert made.usage.output_tokens_details.thinking_tokens == 0
