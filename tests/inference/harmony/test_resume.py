"""Completions in Harmony that are cut after any token and resumed, by the real token ids."""

from pathlib import Path

import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from resuming import assert_equal, chat
from starlette.testclient import TestClient

MODS = Path(__file__).parents[2] / "scripted_mods"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}

THOUGHT = "<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>It rains: 🌧.<|return|>"
PREAMBLE = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
CALL = (
    "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    '{"city": "Zürich"}<|call|>'
)


@pytest.fixture(name="client", scope="session")
def _client(gpt_oss):
    context = ServerContext(models=OneModel(gpt_oss, gpt_oss.chat), mods=ModCatalog([MODS]))
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    client.model = "gpt-oss"
    return client


def says(script):
    return {"mods": [{"name": "says", "params": {"script": script}}]}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "fields"),
    [(THOUGHT + FINAL, {}), (THOUGHT + PREAMBLE + CALL, {"tools": [TOOL]})],
    ids=["final", "call"],
)
def test_a_completion_in_harmony_resumed_after_each_token_is_the_uncut_one(
    client, script, fields, stream
):
    fields = {**fields, **says(script)}
    whole = chat(client, **fields)
    message = part = chat(client, stream=stream, **fields, max_tokens=1)
    while part.reason == "length":
        part = chat(client, stream=stream, messages=None, resume_from=part.id, max_tokens=1)
        message = message.then(part)

    assert_equal(message, whole)
    assert part.reason == whole.reason


@pytest.mark.parametrize("cut", [1, 5, 6])
def test_the_rest_of_a_completion_in_harmony_follows_its_beginning(client, cut):
    fields = says(THOUGHT + FINAL)
    first = chat(client, **fields, max_tokens=cut)
    second = chat(client, messages=None, resume_from=first.id, max_tokens=60)

    assert_equal(first.then(second), chat(client, **fields))
