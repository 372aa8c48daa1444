# /// script
# requires-python = ">=3.11"
# dependencies = ["litellm>=1.106,<2", "mcp", "pytest>=9,<10", "pytest-asyncio"]
# ///
"""LiteLLM: text, streams, tools, structured output, errors, and cancelling."""

import asyncio
import json
import os

import pydantic
import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # reads the variable

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
REASONING = os.environ.get("CONCORDANCE_REASONING")  # of gpt-oss
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


class City(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=20)
    is_capital: bool


def fields(provider="openai", mod="", **given):
    name = AGENT if mod else MODEL
    address = {"api_base": f"{URL}/v1", "api_key": "none", "num_retries": 0}
    base = {"messages": QUESTION, "temperature": 0, "max_tokens": 64}
    return {"model": f"{provider}/{name}", **address, **base, **given}


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
def test_text(provider):
    got = litellm.completion(**fields(provider))

    assert got.choices[0].message.content == "The capital of France is Paris."
    assert got.choices[0].finish_reason == "stop"


def test_a_stream():
    chunks = list(litellm.completion(**fields(stream=True)))
    whole = litellm.stream_chunk_builder(chunks, messages=QUESTION)

    assert whole.choices[0].message.content == "The capital of France is Paris."
    assert whole.choices[0].finish_reason == "stop"


@pytest.mark.skipif(not REASONING, reason="the model does not reason")
def test_reasoning():
    message = litellm.completion(**fields()).choices[0].message

    assert message.reasoning_content == REASONING
    assert message.content == "The capital of France is Paris."


def test_structured_output():
    got = litellm.completion(**fields(response_format=City))

    City.model_validate_json(got.choices[0].message.content)


@pytest.mark.parametrize("streams", [False, True])
def test_a_tool_that_the_model_has_to_call(streams):
    got = litellm.completion(**fields(tools=[TOOL], tool_choice="required", stream=streams))
    if streams:
        got = litellm.stream_chunk_builder(list(got), messages=QUESTION)

    call = got.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city"}
    assert got.choices[0].finish_reason == "tool_calls"


def test_an_error_keeps_its_message():
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(**fields(temperature=7))


def test_a_task_that_is_cancelled():
    async def cancelled():
        task = asyncio.create_task(litellm.acompletion(**fields(max_tokens=2000)))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
