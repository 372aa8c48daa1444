# /// script
# requires-python = ">=3.11"
# dependencies = ["pydantic-ai-slim[openai]>=2.60,<3", "pytest>=9,<10"]
# ///
"""Pydantic AI: text, streams, an agent with a tool, structured output, errors, and cancelling."""

import asyncio
import os

import pydantic
import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
REASONING = os.environ.get("CONCORDANCE_REASONING")  # of gpt-oss
QUESTION = "What is the capital of France?"
SETTINGS = {"temperature": 0, "max_tokens": 96}


class City(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=20)
    is_capital: bool


def model(mod=""):
    name = AGENT if mod else MODEL
    provider = OpenAIProvider(base_url=f"{URL}/v1", api_key="none")
    return OpenAIChatModel(name, provider=provider)


def test_text():
    result = Agent(model(), model_settings=SETTINGS).run_sync(QUESTION)

    assert result.output == "The capital of France is Paris."


def test_a_stream():
    async def read():
        async with Agent(model(), model_settings=SETTINGS).run_stream(QUESTION) as stream:
            return [text async for text in stream.stream_text(delta=True)]

    assert "".join(asyncio.run(read())) == "The capital of France is Paris."


@pytest.mark.skipif(not REASONING, reason="the model does not reason")
def test_reasoning():
    result = Agent(model()).run_sync(QUESTION)

    assert result.response.thinking == REASONING
    assert result.output == "The capital of France is Paris."


def test_an_agent_with_a_tool():
    agent = Agent(model("agent"))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    assert agent.run_sync(QUESTION).output == "The tool says: rain in Paris"


@pytest.mark.parametrize("kind", [NativeOutput, ToolOutput])
def test_structured_output(kind):
    agent = Agent(model(), output_type=kind(City), model_settings=SETTINGS)

    assert isinstance(agent.run_sync("Describe Paris.").output, City)


def test_an_error_keeps_its_message():
    agent = Agent(model(), model_settings={"temperature": 7})
    with pytest.raises(ModelHTTPError, match="temperature"):
        agent.run_sync(QUESTION)


def test_a_task_that_is_cancelled():
    async def cancelled():
        task = asyncio.create_task(Agent(model()).run("Count to one thousand."))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
