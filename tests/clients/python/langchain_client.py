# /// script
# requires-python = ">=3.11"
# dependencies = ["langchain-openai>=1.7,<2", "pytest>=9,<10"]
# ///
"""LangChain's chat model: invoke, stream, tools, structured output, errors, and cancelling."""

import asyncio
import os

import openai
import pydantic
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
QUESTION = "What is the capital of France?"


class City(pydantic.BaseModel, extra="forbid"):
    """A city."""

    name: str = pydantic.Field(max_length=20)
    is_capital: bool


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def model(mod="", **fields):
    name = AGENT if mod else MODEL
    fields = {"temperature": 0, "max_tokens": 48, **fields}
    return ChatOpenAI(model=name, base_url=f"{URL}/v1", api_key="none", max_retries=0, **fields)


def test_text():
    answer = model().invoke(QUESTION)

    assert answer.content == "The capital of France is Paris."
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata["total_tokens"] > 0


def test_a_stream():
    chunks = list(model(stream_usage=True).stream(QUESTION))

    assert "".join(chunk.content for chunk in chunks) == "The capital of France is Paris."
    assert chunks[-1].usage_metadata or chunks[-2].usage_metadata


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(method):
    structured = model(max_tokens=128).with_structured_output(City, method=method)

    assert isinstance(structured.invoke("Describe Paris."), City)


@pytest.mark.parametrize("streams", [False, True])
def test_a_loop_with_a_tool(streams):
    agent = model("agent").bind_tools([get_weather])
    question = HumanMessage(QUESTION)
    if streams:
        first, *rest = list(agent.stream([question]))
        for chunk in rest:
            first += chunk
    else:
        first = agent.invoke([question])
    call = first.tool_calls[0]
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    second = agent.invoke([question, first, result])

    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert second.content == "The tool says: rain in Paris"


def test_an_error_keeps_its_message():
    with pytest.raises(openai.BadRequestError, match="temperature"):
        model(temperature=7).invoke(QUESTION)


def test_a_task_that_is_cancelled():
    async def cancelled():
        task = asyncio.create_task(model(max_tokens=2000).ainvoke("Count to one thousand."))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert model().invoke(QUESTION).content == "The capital of France is Paris."
