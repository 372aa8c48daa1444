"""Structured output with the official client and the embedded model, without a mod."""

import json
import re
from typing import Literal

import openai
import pydantic
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
            model=embedded_server.model,
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


def test_a_model_of_pydantic_is_parsed(embedded_server):
    class City(pydantic.BaseModel):
        capital: str = pydantic.Field(max_length=40)
        size: Literal["small", "large"]

    completion = embedded_server.client.chat.completions.parse(
        model=embedded_server.model, messages=QUESTION, response_format=City, max_tokens=80
    )

    assert completion.choices[0].message.parsed.size in ("small", "large")


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [
        ({"regex": "[0-9]{4}"}, "[0-9]{4}"),
        ({"guided_choice": ["Paris", "Rome"]}, "Paris|Rome"),
        ({"structured_outputs": {"grammar": 'start: "it is " ("Paris" | "Rome")'}}, "it is .*"),
    ],
)
def test_other_formats_are_enforced_too(embedded_server, fields, pattern):
    completion = embedded_server.client.chat.completions.create(
        model=embedded_server.model, messages=QUESTION, extra_body=fields
    )

    assert re.fullmatch(pattern, completion.choices[0].message.content)


def test_the_embedded_model_has_its_recommended_sampling_defaults(embedded_server):
    model = embedded_server.client.models.retrieve(embedded_server.model)

    assert model.sampling_defaults["temperature"] == 0.2
