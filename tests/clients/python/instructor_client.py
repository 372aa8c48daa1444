# /// script
# requires-python = ">=3.11"
# dependencies = ["instructor>=1.16,<2", "pytest>=9,<10"]
# ///
"""Instructor: structured output in its modes, partial streams, errors, and plain text."""

import os

import instructor
import openai
import pydantic
import pytest

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
QUESTION = [{"role": "user", "content": "Describe Paris."}]
MODES = [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.JSON]


class City(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=20)
    is_capital: bool


def client(mode):
    plain = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
    return instructor.from_openai(plain, mode=mode)


@pytest.mark.parametrize("mode", MODES[:2])
def test_structured_output(mode):
    city = client(mode).chat.completions.create(
        model=MODEL, messages=QUESTION, response_model=City, max_tokens=96, max_retries=0
    )

    assert isinstance(city, City)


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_stream_of_partial_objects(mode):
    cities = list(
        client(mode).chat.completions.create_partial(
            model=MODEL, messages=QUESTION, response_model=City, max_tokens=96, max_retries=0
        )
    )

    City.model_validate(cities[-1].model_dump())


def test_an_error_keeps_its_message():
    with pytest.raises(Exception, match="temperature"):
        client(MODES[0]).chat.completions.create(
            model=MODEL, messages=QUESTION, response_model=City, temperature=7, max_retries=0
        )


def test_plain_text():
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    got = client(MODES[0]).chat.completions.create(
        model=MODEL, messages=messages, response_model=None, temperature=0, max_tokens=24
    )

    assert got.choices[0].message.content == "The capital of France is Paris."
