"""Structured output with the official client, the embedded model and the installed mod."""

import json

import openai
import pytest

pytestmark = pytest.mark.model

QUESTION = [{"role": "user", "content": "What is the capital of France, and how large is it?"}]
CITY = {
    "type": "object",
    "properties": {
        "capital": {"type": "string", "maxLength": 40},
        "size": {"enum": ["small", "large"]},
        "population_in_millions": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["capital", "size", "population_in_millions"],
    "additionalProperties": False,
}


@pytest.fixture(name="ask")
def _ask(embedded_server):
    def ask(schema, **fields):
        return embedded_server.client.chat.completions.create(
            model=f"{embedded_server.model}/json_schema",
            messages=QUESTION,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "city", "schema": schema, "strict": True},
            },
            max_tokens=80,
            **fields,
        )

    return ask


def test_a_completion_follows_the_schema(ask):
    completion = ask(CITY, temperature=1, seed=1)
    document = json.loads(completion.choices[0].message.content)

    assert list(document) == CITY["required"]
    assert document["size"] in ("small", "large")
    assert completion.choices[0].finish_reason == "stop"


def test_a_stream_follows_the_schema(ask):
    stream = ask(CITY, temperature=0, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)

    assert list(json.loads(text)) == CITY["required"]


def test_a_keyword_that_cannot_be_enforced_is_named_in_the_error(ask):
    schema = {"type": "object", "properties": {"a": {"$ref": "https://example.org/other.json"}}}
    with pytest.raises(openai.BadRequestError, match=r"'\$ref'.*#/properties/a") as refused:
        ask(schema)
    assert refused.value.param.startswith("response_format")
