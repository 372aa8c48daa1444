# /// script
# requires-python = ">=3.11"
# dependencies = ["openai-agents>=0.20,<1", "pytest>=9,<10"]
# ///
"""OpenAI's agents: both model classes, with text, streams, tools, structured output and errors."""

import asyncio
import os

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

import openai
import pydantic
import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
QUESTION = "What is the capital of France?"

pytestmark = pytest.mark.parametrize("api", [OpenAIChatCompletionsModel, OpenAIResponsesModel])


class City(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=20)
    is_capital: bool


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def agent(api, mod="", temperature=0.0, **fields):
    client = openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
    model = api(AGENT if mod else MODEL, client)
    settings = ModelSettings(temperature=temperature, max_tokens=96)
    return Agent("helper", model=model, model_settings=settings, **fields)


def test_text(api):
    assert "Paris" in Runner.run_sync(agent(api), QUESTION).final_output


def test_a_stream(api):
    async def read():
        result = Runner.run_streamed(agent(api), QUESTION)
        kinds = {event.type async for event in result.stream_events()}
        return kinds, result.final_output

    kinds, output = asyncio.run(read())
    assert "raw_response_event" in kinds
    assert "Paris" in output


@pytest.mark.parametrize("streams", [False, True])
def test_an_agent_with_a_tool(api, streams):
    helper = agent(api, "agent", tools=[get_weather])

    async def run():
        if not streams:
            return await Runner.run(helper, QUESTION)
        result = Runner.run_streamed(helper, QUESTION)
        async for _ in result.stream_events():
            pass
        return result

    assert asyncio.run(run()).final_output == "The tool says: rain in Paris"


def test_an_agent_whose_conversation_the_server_keeps(api):
    helper = agent(api, "agent", tools=[get_weather])
    result = Runner.run_sync(helper, QUESTION, auto_previous_response_id=True)

    assert result.final_output == "The tool says: rain in Paris"


def test_structured_output(api):
    result = Runner.run_sync(agent(api, output_type=City), "Describe Paris.")

    assert isinstance(result.final_output, City)


def test_an_error_keeps_its_message(api):
    with pytest.raises(openai.BadRequestError, match="temperature"):
        Runner.run_sync(agent(api, temperature=7.0), QUESTION)


def test_a_task_that_is_cancelled(api):
    async def cancelled():
        task = asyncio.create_task(Runner.run(agent(api), "Count to one thousand."))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
