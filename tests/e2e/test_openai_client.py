"""The official client against the embedded model: what a user of it would do."""

import json

import openai
import pytest

pytestmark = pytest.mark.model

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
CALLER = """
from concordance_sdk import Added, mod, get_schemas

@mod(max_backtrack=None)
def caller(event, actions):
    '''Calls the first tool of the request.'''
    if isinstance(event, Added):
        name = get_schemas().tools[0].function.name
        return actions.tool_calls({"name": name, "arguments": {"city": "Paris"}})
"""


@pytest.fixture(name="ask")
def _ask(embedded_server):
    client, model = embedded_server.client, embedded_server.model

    def ask(mod="", **fields):
        name = f"{model}/{mod}" if mod else model
        fields = {"messages": QUESTION, "temperature": 0, "max_tokens": 24, **fields}
        return client.chat.completions.create(model=name, **fields)

    return ask


def joined(stream):
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def test_a_completion_through_openais_client(ask):
    completion = ask()

    assert completion.choices[0].message.content == "The capital of France is Paris."
    assert completion.choices[0].finish_reason == "stop"
    assert (
        completion.usage.total_tokens
        == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )


def test_a_stream_has_the_text_of_the_completion_and_its_usage(ask):
    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))

    assert joined(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage == whole.usage
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_the_clients_own_stream_helper(embedded_server):
    with embedded_server.client.chat.completions.stream(
        model=embedded_server.model, messages=QUESTION, temperature=0, max_tokens=24
    ) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()

    assert final.choices[0].message.content == "The capital of France is Paris."
    assert "content.done" in events


def test_max_tokens_ends_with_finish_reason_length(ask):
    completion = ask(max_tokens=3)

    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens == 3


def test_a_stop_string_across_tokens(ask):
    assert ask(stop=["ance is"]).choices[0].message.content == "The capital of Fr"


def test_the_same_seed_gives_the_same_completion(ask):
    first, second, other = (
        ask(temperature=1, seed=seed, max_tokens=8).choices[0].message.content for seed in (1, 1, 2)
    )

    assert first == second != other


def test_a_mod_by_the_model_name(ask):
    assert ask("greeting").choices[0].message.content.startswith("Ahoy!")


@pytest.mark.parametrize("stream", [False, True])
def test_a_mod_with_parameters(ask, stream):
    mods = [{"name": "replace", "params": {"find": "Paris", "replacement": "Lyon"}}]
    completion = ask(extra_body={"mods": mods}, stream=stream)
    text = joined(completion) if stream else completion.choices[0].message.content

    assert "Lyon" in text
    assert "Paris" not in text


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"enum": [1, 2]}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "weather"}}


def test_a_named_tool_is_called_through_openais_client(ask, embedded_server):
    fields = {"tools": [WEATHER], "tool_choice": NAMED, "max_tokens": 60}
    choice = ask(**fields).choices[0]
    (call,) = choice.message.tool_calls
    with embedded_server.client.chat.completions.stream(
        model=embedded_server.model, messages=QUESTION, temperature=0, **fields
    ) as stream:
        (streamed,) = stream.get_final_completion().choices[0].message.tool_calls

    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert call.id.startswith("call_")
    assert json.loads(call.function.arguments).keys() == {"city", "days"}
    assert streamed.function.arguments == call.function.arguments
    assert streamed.function.parsed_arguments == json.loads(call.function.arguments)


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls(ask, embedded_server, run, tmp_path, stream):
    (tmp_path / "caller.py").write_text(CALLER)
    pushed = run("mods", "push", tmp_path / "caller.py", "--url", embedded_server.url)
    assert pushed.returncode == 0, pushed.stderr
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    completion = ask("caller", tools=tools, stream=stream)
    if stream:
        chunks = list(completion)
        (opened, arguments) = [
            c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls
        ]
        name, text = opened.function.name, arguments.function.arguments
        reason = chunks[-1].choices[0].finish_reason
    else:
        (call,) = completion.choices[0].message.tool_calls
        name, text, reason = (
            call.function.name,
            call.function.arguments,
            completion.choices[0].finish_reason,
        )

    assert (name, text, reason) == ("look_up", '{"city":"Paris"}', "tool_calls")


def test_models(embedded_server):
    client, model = embedded_server.client, embedded_server.model

    assert model == "SmolLM2-135M-Instruct"
    assert client.models.retrieve(model).id == model


def test_errors_become_exceptions_of_openais_client(ask, embedded_server):
    with pytest.raises(openai.NotFoundError) as unknown:
        ask("nosuch")
    with pytest.raises(openai.BadRequestError) as bad:
        ask(temperature=5)

    assert unknown.value.code == "mod_not_found"
    assert bad.value.param == "temperature"


def test_generate_prints_the_completion(run):
    done = run("generate", "What is the capital of France?")

    assert done.stdout == "The capital of France is Paris.\n"


def test_generate_runs_with_a_mod(run):
    done = run(
        "generate",
        "What is the capital of France?",
        "--max-tokens",
        8,
        "--mod",
        "replace:find=Paris,replacement=Lyon",
        "--mod",
        "stop_after_sentences:count=1",
    )

    assert done.stdout == "The capital of France is Lyon, France\n"
