# /// script
# requires-python = ">=3.11"
# dependencies = ["anthropic>=0.70,<1", "pytest>=9,<10"]
# ///
"""Anthropic's client: messages, streams, tools, counts, errors, and a client that leaves."""

import os

import anthropic
import pytest

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
REASONING = os.environ.get("CONCORDANCE_REASONING")  # of gpt-oss
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}
client = anthropic.Anthropic(base_url=URL, api_key="none", max_retries=0, timeout=120)


def create(mod="", **fields):
    name = AGENT if mod else MODEL
    base = {"messages": QUESTION, "temperature": 0, "max_tokens": 96}
    return client.messages.create(model=name, **{**base, **fields})


def test_text():
    message = create()

    assert message.content[-1].text == "The capital of France is Paris."
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_a_stream():
    with client.messages.stream(
        model=MODEL, messages=QUESTION, max_tokens=24, temperature=0
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert text == final.content[-1].text == "The capital of France is Paris."


@pytest.mark.skipif(not REASONING, reason="the model does not reason")
def test_thinking():
    thinking, text = create().content

    assert thinking.thinking == REASONING
    assert text.text == "The capital of France is Paris."


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_tool_that_the_model_has_to_call(choice):
    message = create(tools=[TOOL], tool_choice=choice)

    block = message.content[-1]
    assert message.stop_reason == "tool_use"
    assert (block.type, block.name, set(block.input)) == ("tool_use", "get_weather", {"city"})


def test_a_stream_of_a_tool_call():
    with client.messages.stream(
        model=MODEL,
        messages=QUESTION,
        max_tokens=96,
        temperature=0,
        tools=[TOOL],
        tool_choice={"type": "any"},
    ) as stream:
        block = stream.get_final_message().content[-1]

    assert (block.type, set(block.input)) == ("tool_use", {"city"})


def test_a_loop_with_a_tool():
    first = create("agent", tools=[TOOL])
    call = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = create("agent", tools=[TOOL], messages=messages)

    assert call.input == {"city": "Paris"}
    assert second.content[-1].text == "The tool says: rain"


def test_a_count_of_tokens():
    count = client.messages.count_tokens(model=MODEL, messages=QUESTION)

    usage = create(max_tokens=1).usage
    assert count.input_tokens == usage.input_tokens + usage.cache_read_input_tokens


def test_errors():
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        create(temperature=7)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nothing", messages=QUESTION, max_tokens=1)


def test_a_client_that_leaves():
    with client.messages.stream(
        model=MODEL, messages=[{"role": "user", "content": "Count."}], max_tokens=2000
    ) as stream:
        next(iter(stream.text_stream))

    assert create().content[-1].text == "The capital of France is Paris."
