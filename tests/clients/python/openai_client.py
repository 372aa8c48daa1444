# /// script
# requires-python = ">=3.11"
# dependencies = ["openai>=3.50,<4", "pytest>=9,<10"]
# ///
"""OpenAI's client: create, stream, parse, tools, errors, and a client that leaves."""

import json
import os
import time
import urllib.request

import openai
import pydantic
import pytest

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
REASONING = os.environ.get("CONCORDANCE_REASONING")  # of gpt-oss
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
client = openai.OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)
chat = client.chat.completions


class City(pydantic.BaseModel, extra="forbid"):
    name: str = pydantic.Field(max_length=20)
    is_capital: bool


def test_text():
    completion = chat.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=24)

    assert completion.choices[0].message.content == "The capital of France is Paris."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == MODEL


def test_a_stream_with_the_clients_helper():
    with chat.stream(model=MODEL, messages=QUESTION, temperature=0, max_tokens=24) as stream:
        types = [event.type for event in stream]
        final = stream.get_final_completion()

    assert "content.delta" in types
    assert "content.done" in types
    assert final.choices[0].message.content == "The capital of France is Paris."


@pytest.mark.skipif(not REASONING, reason="the model does not reason")
def test_reasoning_whole_in_a_stream_and_in_responses():
    message = chat.create(model=MODEL, messages=QUESTION).choices[0].message
    stream = chat.create(model=MODEL, messages=QUESTION, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    response = client.responses.create(model=MODEL, input="What is the capital of France?")

    assert (message.reasoning_content, message.content) == (REASONING, ANSWER)
    assert "".join(getattr(delta, "reasoning_content", "") or "" for delta in deltas) == REASONING
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert response.output[0].content[0].text == REASONING
    assert response.output_text == ANSWER


def test_structured_output():
    messages = [{"role": "user", "content": "Describe Paris as JSON."}]
    completion = chat.parse(model=MODEL, messages=messages, response_format=City, max_tokens=64)

    assert isinstance(completion.choices[0].message.parsed, City)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_tool_that_the_model_has_to_call(choice):
    completion = chat.create(
        model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice=choice, max_tokens=128
    )

    message = completion.choices[0].message
    assert completion.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls[0].function.name == "get_weather"
    assert set(json.loads(message.tool_calls[0].function.arguments)) == {"city"}


def test_a_stream_of_a_tool_call_with_the_clients_helper():
    with chat.stream(
        model=MODEL, messages=QUESTION, tools=TOOLS, tool_choice="required", max_tokens=128
    ) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls[0].id.startswith("call_")
    assert set(json.loads(message.tool_calls[0].function.arguments)) == {"city"}


def test_a_loop_with_a_tool():
    model = AGENT
    first = chat.create(model=model, messages=QUESTION, tools=TOOLS).choices[0]
    call = first.message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    messages = [*QUESTION, first.message.model_dump(exclude_none=True), result]
    second = chat.create(model=model, messages=messages, tools=TOOLS).choices[0]

    assert json.loads(call.function.arguments) == {"city": "Paris"}
    assert second.message.content == "The tool says: rain"


def test_responses():
    response = client.responses.create(
        model=MODEL, input="What is the capital of France?", temperature=0, max_output_tokens=24
    )

    assert response.output_text == "The capital of France is Paris."
    assert response.status == "completed"
    fields = {"model": MODEL, "previous_response_id": response.id, "max_output_tokens": 8}
    again = client.responses.create(input="Repeat that.", **fields)
    assert again.usage.input_tokens_details.cached_tokens > response.usage.input_tokens
    with client.responses.stream(input="Repeat that.", temperature=0, **fields) as stream:
        kinds = [event.type for event in stream]
    assert kinds[0] == "response.created"
    assert kinds[-1] in ("response.completed", "response.incomplete")
    assert client.responses.retrieve(again.id) == again
    client.responses.delete(again.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(again.id)


def test_a_response_in_the_background_is_cancelled():
    running = client.responses.create(
        model=MODEL, input="Count to one thousand.", background=True, max_output_tokens=2000
    )
    ended = client.responses.cancel(running.id)

    assert ended.status == "cancelled"
    assert client.responses.retrieve(running.id) == ended


def test_errors():
    with pytest.raises(openai.BadRequestError) as bad:
        chat.create(model=MODEL, messages=QUESTION, temperature=7)
    with pytest.raises(openai.NotFoundError) as missing:
        chat.create(model="nothing", messages=QUESTION)

    assert bad.value.param == "temperature"
    assert missing.value.code == "model_not_found"


def running():
    with urllib.request.urlopen(f"{URL}/v1/requests") as got:
        return [one["id"] for one in json.load(got)["data"]]


def test_a_client_that_leaves_ends_its_request():
    stream = chat.create(
        model=MODEL,
        messages=QUESTION,
        stream=True,
        max_tokens=2000,
        extra_body={"ignore_eos": True},
    )
    request_id = next(iter(stream)).id.removeprefix("chatcmpl-")
    assert request_id in running()
    stream.close()

    deadline = time.monotonic() + 10
    while request_id in running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
