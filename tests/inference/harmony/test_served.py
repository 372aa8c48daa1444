"""What clients of each API get from a gpt-oss that says a script, by the real token ids."""

import json
from pathlib import Path

import o200k
import openai
import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from starlette.testclient import TestClient

MODS = Path(__file__).parents[2] / "scripted_mods"
USER = [{"role": "user", "content": "Weather?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]

THOUGHT = "<|channel|>analysis<|message|>They ask.<|end|><|start|>assistant"
SAID = f"{THOUGHT}<|channel|>final<|message|>It rains: 🌧.<|return|>"
PREAMBLE = f"{THOUGHT}<|channel|>commentary<|message|>I look.<|end|><|start|>assistant"
ARGUMENTS = '{"city": "Zürich"}'
CALL = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>" + ARGUMENTS
CALLED = f"{PREAMBLE}{CALL}<|call|>"


@pytest.fixture(name="scripted", scope="session")
def _scripted(gpt_oss):
    """A client of a server with a gpt-oss that says what requests have it say."""
    context = ServerContext(models=OneModel(gpt_oss, gpt_oss.chat), mods=ModCatalog([MODS]))
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")
    body = {"model": "gpt-oss", "messages": USER, "tools": TOOLS, "max_tokens": 1}
    for _ in range(5):  # compiling the grammar of the tools has a time limit
        if client.post("/v1/chat/completions", json=body).status_code == 200:
            break
    return client


def says(script):
    return {"model": "gpt-oss", "mods": [{"name": "says", "params": {"script": script}}]}


def sent(client, path, body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response


def chat(client, script, **fields):
    body = says(script) | {"messages": USER} | fields
    return sent(client, "/v1/chat/completions", body).json()


def chunks(client, script, **fields):
    body = says(script) | {"messages": USER, "stream": True} | fields
    lines = sent(client, "/v1/chat/completions", body).text.splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def deltas(client, script, **fields):
    choices = [chunk["choices"][0] for chunk in chunks(client, script, **fields)]
    return [choice["delta"] for choice in choices], choices[-1]["finish_reason"]


def texts(found, name):
    return "".join(delta.get(name) or "" for delta in found)


def test_a_chat_completion_has_reasoning_and_content(scripted):
    choice = (body := chat(scripted, SAID))["choices"][0]

    assert choice["finish_reason"] == "stop"
    assert choice["message"] == {
        "role": "assistant",
        "content": "It rains: 🌧.",
        "refusal": None,
        "reasoning": "They ask.",
        "reasoning_content": "They ask.",
    }
    details = body["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] == 3
    assert details["forced_tokens"] == 0


def test_a_stream_has_the_same_as_the_whole_in_deltas(scripted):
    found, reason = deltas(scripted, SAID)

    assert texts(found, "reasoning") == texts(found, "reasoning_content") == "They ask."
    assert texts(found, "content") == "It rains: 🌧."
    assert reason == "stop"
    assert len([delta for delta in found if delta.get("content")]) > 2


def test_a_call_follows_its_preamble(scripted):
    choice = chat(scripted, CALLED, tools=TOOLS)["choices"][0]
    message = choice["message"]

    assert choice["finish_reason"] == "tool_calls"
    assert (message["reasoning"], message["content"]) == ("They ask.", "I look.")
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "get_weather", "arguments": ARGUMENTS}


def test_a_stream_has_the_name_of_a_call_once_and_its_arguments_as_they_come(scripted):
    found, reason = deltas(scripted, CALLED, tools=TOOLS)
    calls = [delta["tool_calls"][0] for delta in found if "tool_calls" in delta]
    kinds = [
        key for delta in found for key in ("reasoning", "content", "tool_calls") if delta.get(key)
    ]

    assert reason == "tool_calls"
    assert [call["function"].get("name") for call in calls if "name" in call["function"]] == [
        "get_weather"
    ]
    assert "".join(call["function"]["arguments"] for call in calls) == ARGUMENTS
    assert len(calls) > 3
    assert list(dict.fromkeys(kinds)) == ["reasoning", "content", "tool_calls"]


def test_a_call_that_the_tokens_cut_is_no_call(scripted):
    choice = chat(scripted, CALLED, tools=TOOLS, max_tokens=30)["choices"][0]

    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]


def test_a_refusal_without_a_header_is_content(scripted):
    script = "I'm sorry,\n\nbut no.<|return|>"
    assert chat(scripted, script)["choices"][0]["message"]["content"] == script[:-10]
    found, _ = deltas(scripted, script)
    assert texts(found, "content") == script[:-10]


@pytest.mark.parametrize("max_tokens", [1, 2, 3, 5, 6, 7, 8, 9, 10, 13, 15])
def test_a_cut_anywhere_is_an_answer_of_reasoning_and_content(scripted, max_tokens):
    choice = chat(scripted, SAID, max_tokens=max_tokens)["choices"][0]
    message = choice["message"]

    assert "They ask.".startswith(message.get("reasoning", ""))
    assert "It rains: 🌧.".startswith(message["content"].rstrip("\ufffd"))
    assert "<|" not in message["content"]


@pytest.mark.parametrize(
    ("fields", "reasoning", "content"),
    [
        ({"include_reasoning": False}, None, "It rains: 🌧."),
        ({"separate_reasoning": False}, None, SAID.removesuffix("<|return|>")),
        ({"stream_reasoning": False}, "They ask.", "It rains: 🌧."),
    ],
)
def test_the_reasoning_is_where_the_request_wants_it(scripted, fields, reasoning, content):
    message = chat(scripted, SAID, **fields)["choices"][0]["message"]
    assert (message.get("reasoning"), message["content"]) == (reasoning, content)
    found, _ = deltas(scripted, SAID, **fields)
    assert (texts(found, "reasoning") or None, texts(found, "content")) == (reasoning, content)


def test_logprobs_and_token_ids_are_those_of_all_tokens(scripted):
    fields = {"logprobs": True, "return_token_ids": True}
    whole = chat(scripted, SAID, **fields)["choices"][0]
    streamed = [chunk["choices"][0] for chunk in chunks(scripted, SAID, **fields)]

    assert len(whole["token_ids"]) == len(whole["logprobs"]["content"])
    assert [i for c in streamed for i in c.get("token_ids", ())] == whole["token_ids"]
    entries = [e for c in streamed if c["logprobs"] for e in c["logprobs"]["content"]]
    assert [e["token"] for e in entries] == [e["token"] for e in whole["logprobs"]["content"]]
    assert whole["token_ids"][-1] == 200002


def test_a_stream_with_retractions_is_one_text(scripted):
    found, reason = deltas(scripted, SAID, stream_options={"include_retractions": True})
    assert (texts(found, "content"), reason) == (SAID.removesuffix("<|return|>"), "stop")


def test_tokens_can_be_shown(scripted):
    found = chunks(scripted, SAID, stream_options={"include_tokens": True})
    shown = [
        c["concordance"]["tokens"]["tokens"] for c in found if "tokens" in c.get("concordance", {})
    ]
    text = "".join(token["text"] for tokens in shown for token in tokens)
    assert text.startswith("<|channel|>analysis<|message|>They ask.<|end|>")


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_are_read_each_by_itself(scripted, stream):
    if stream:
        found = [chunk["choices"][0] for chunk in chunks(scripted, SAID, n=2)]
        contents = [
            texts([c["delta"] for c in found if c["index"] == i], "content") for i in (0, 1)
        ]
    else:
        contents = [c["message"]["content"] for c in chat(scripted, SAID, n=2)["choices"]]
    assert contents == ["It rains: 🌧."] * 2


# The other APIs


def test_a_response_has_items_of_reasoning_messages_and_calls(scripted):
    tools = [{"type": "function", **FUNCTION}]
    body = says(CALLED) | {"input": "Weather?", "tools": tools}
    response = sent(scripted, "/v1/responses", body).json()

    assert [item["type"] for item in response["output"]] == [
        "reasoning",
        "message",
        "function_call",
    ]
    reasoning, message, call = response["output"]
    assert reasoning["content"][0]["text"] == "They ask."
    assert message["content"][0]["text"] == "I look."
    assert (call["name"], call["arguments"]) == ("get_weather", ARGUMENTS)
    assert response["usage"]["output_tokens_details"]["reasoning_tokens"] == 3


def test_events_of_a_response_add_up_to_its_items(scripted):
    tools = [{"type": "function", **FUNCTION}]
    body = says(CALLED) | {"input": "Weather?", "tools": tools, "stream": True}
    lines = sent(scripted, "/v1/responses", body).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]

    def joined(kind):
        return "".join(event["delta"] for event in events if event["type"] == kind)

    assert joined("response.reasoning_text.delta") == "They ask."
    assert joined("response.output_text.delta") == "I look."
    assert joined("response.function_call_arguments.delta") == ARGUMENTS
    assert events[-1]["type"] == "response.completed"


def test_a_message_has_blocks_of_thinking_text_and_tool_use(scripted):
    tools = [{"name": "get_weather", "input_schema": PARAMETERS}]
    body = says(CALLED) | {"messages": USER, "tools": tools, "max_tokens": 200}
    message = sent(scripted, "/v1/messages", body).json()

    assert message["stop_reason"] == "tool_use"
    thinking, text, call = message["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "They ask.")
    assert (text["type"], text["text"]) == ("text", "I look.")
    assert (call["name"], call["input"]) == ("get_weather", {"city": "Zürich"})


def test_events_of_a_message_add_up_to_its_blocks(scripted):
    body = says(SAID) | {"messages": USER, "max_tokens": 200, "stream": True}
    lines = sent(scripted, "/v1/messages", body).text.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    found = [event["delta"] for event in events if event["type"] == "content_block_delta"]

    assert texts(found, "thinking") == "They ask."
    assert texts(found, "text") == "It rains: 🌧."


# Stops


def completion(client, token_id, **fields):
    """A completion of a text in which one token is always the most probable."""
    body = {"model": "gpt-oss", "prompt": "Hi", "max_tokens": 3, "temperature": 0}
    body |= {"logit_bias": {str(token_id): 100}, "return_token_ids": True}
    return sent(client, "/v1/completions", body | fields).json()["choices"][0]


@pytest.mark.parametrize("token_id", [200002, 200012, 199999])
def test_the_tokens_of_assistant_actions_and_the_end_of_text_stop(scripted, token_id):
    choice = completion(scripted, token_id)
    assert (choice["finish_reason"], choice["token_ids"]) == ("stop", [token_id])


@pytest.mark.parametrize("token_id", [200007, 200006, 200005, 200008, 200003])
def test_the_end_of_a_message_and_of_a_header_stops_nothing(scripted, token_id):
    choice = completion(scripted, token_id)
    assert (choice["finish_reason"], choice["token_ids"]) == ("length", [token_id] * 3)
    assert choice["text"] == o200k.SPECIAL[token_id] * 3


def test_a_completion_with_several_messages_stops_at_the_first_action(scripted):
    script = f"{CALLED}<|start|>assistant<|channel|>final<|message|>no<|return|>"
    body = chat(scripted, script, tools=TOOLS, return_token_ids=True)["choices"][0]
    assert body["token_ids"][-1] == 200012
    assert body["message"]["content"] == "I look."


def test_without_stops_what_follows_an_action_is_read_too(scripted):
    script = f"{SAID}<|start|>assistant<|channel|>final<|message|>More.<|return|>"
    choice = chat(scripted, script, ignore_eos=True, max_tokens=26, return_token_ids=True)
    message = choice["choices"][0]["message"]
    assert message["content"].startswith("It rains: 🌧.\n\nMore.")


def test_openais_client_reads_a_call_of_a_stream(scripted):
    client = openai.OpenAI(
        base_url="http://127.0.0.1:8000/v1", api_key="none", http_client=scripted, max_retries=0
    )
    fields = {"messages": USER, "tools": TOOLS, "extra_body": {"mods": says(CALLED)["mods"]}}
    with client.chat.completions.stream(model="gpt-oss", **fields) as stream:
        kinds = [event.type for event in stream]
        choice = stream.get_final_completion().choices[0]

    assert "tool_calls.function.arguments.done" in kinds
    assert choice.message.content == "I look."
    assert choice.message.model_extra["reasoning_content"] == "They ask."
    (call,) = choice.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", ARGUMENTS)
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize("stop", ["ask", "assistant", "analysis", "final", "They"])
def test_a_stop_string_counts_in_the_answer_only(scripted, stop):
    message = chat(scripted, SAID, stop=[stop])["choices"][0]["message"]

    assert (message["reasoning"], message["content"]) == ("They ask.", "It rains: 🌧.")


@pytest.mark.parametrize("stop", ["rains", " rains:", "🌧"])
def test_a_stop_string_in_the_answer_ends_it(scripted, stop):
    choice = chat(scripted, SAID, stop=[stop])["choices"][0]
    found, finish = deltas(scripted, SAID, stop=[stop])

    assert choice["message"]["content"] == "It rains: 🌧.".partition(stop)[0]
    assert choice["message"]["reasoning"] == "They ask."
    assert texts(found, "content") == choice["message"]["content"]
    assert choice["finish_reason"] == finish == "stop"
    assert choice["stop_reason"] == stop
