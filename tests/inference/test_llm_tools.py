"""Tools in the Python API, on a tiny random model with the template of a format."""

import json

import jsonschema
import pytest
from concordance_inference import LLM, runtime
from concordance_inference.mods import call_mod
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_sdk import mod
from concordance_shared import ConcordanceError, ConstraintError, SchemaError
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tool_folders import write_tool_folder

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 4}, "days": {"enum": [1, 2]}},
    "required": ["city"],
}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "now"}},
]
OPTIONS = {"tools": TOOLS, "temperature": 1.0, "max_tokens": 400}


@pytest.fixture(scope="module", name="llm", params=["mistral", None])
def _llm(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    with LLM(write_tool_folder(folder, request.param)) as llm:
        yield llm


@mod(max_backtrack=0)
class Opens:
    """Opens calls with the marker of the format, as a model would."""

    def __init__(self):
        self.is_done = False

    def added(self, event, actions, tokenizer):
        if not self.is_done and event.step >= 2:
            self.is_done = True
            return actions.force_tokens(tokenizer.encode(MARKER[tokenizer.vocab_size]))


MARKER = {}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
@pytest.mark.parametrize("seed", range(2))
def test_required_calls_name_an_offered_tool_and_validate(llm, choice, seed):
    completion = llm.chat("hi", tool_choice=choice, seed=seed, **OPTIONS)

    assert completion.finish_reason == "tool_calls"
    for call in completion.tool_calls:
        assert call.function.name in ("weather", "now")
        if call.function.name == "weather":
            jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)
    if isinstance(choice, dict):
        assert [call.function.name for call in completion.tool_calls] == ["weather"]


def test_a_call_is_enforced_from_its_marker_on(llm):
    layout = llm._running().chat.tool_format.layout
    MARKER[llm._running().loaded.tokenizer.vocab_size] = layout.marker
    completion = llm.chat("hi", mods=[Opens], seed=1, parallel_tool_calls=False, **OPTIONS)

    assert completion.finish_reason == "tool_calls"
    assert len(completion.tool_calls) == 1
    assert not completion.text.startswith(layout.marker)


def test_a_stream_has_the_same_calls_at_its_end(llm):
    plain = llm.chat("hi", tool_choice="required", seed=5, **OPTIONS)
    stream = llm.chat("hi", tool_choice="required", seed=5, stream=True, **OPTIONS)
    text = "".join(delta.text for delta in stream)

    assert text == plain.text == stream.result().text
    assert [c.function for c in stream.result().tool_calls] == [
        c.function for c in plain.tool_calls
    ]


def test_the_next_prompt_of_a_tool_loop_extends_the_cached_one(llm):
    messages = [{"role": "user", "content": "hi"}]
    first = llm.chat(messages, tool_choice="required", seed=3, **OPTIONS)
    calls = [
        {
            "id": c.id,
            "type": "function",
            "function": {"name": c.function.name, "arguments": c.function.arguments},
        }
        for c in first.tool_calls
    ]
    messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    messages += [{"role": "tool", "content": "4", "tool_call_id": c["id"]} for c in calls]
    second = llm.chat(messages, seed=3, **OPTIONS | {"max_tokens": 4})

    reused = first.usage.prompt_tokens
    assert second.prompt_ids[:reused] == first.prompt_ids
    assert second.usage.cached_tokens >= reused


@pytest.mark.parametrize("seed", range(6))
def test_no_white_space_precedes_the_calls_of_a_model_that_does_not_reason(llm, seed):
    completion = llm.chat("hi", tool_choice="required", seed=seed, **OPTIONS | {"max_tokens": 2})

    assert not completion.text.startswith("\n")


def test_with_a_response_format_a_message_calls_or_follows_it(llm):
    schema = {
        "type": "object",
        "properties": {"x": {"enum": [1]}},
        "required": ["x"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    for seed in range(4):
        completion = llm.chat("hi", response_format=form, seed=seed, **OPTIONS)
        assert completion.tool_calls or completion.text == '{"x": 1}'


def test_no_tools_are_rendered_if_none_may_be_called(llm):
    plain = llm.chat("hi", max_tokens=1)
    none = llm.chat("hi", tools=TOOLS, tool_choice="none", max_tokens=1)

    assert none.prompt_ids == plain.prompt_ids


def test_a_schema_that_cannot_be_enforced_is_refused_with_its_place(llm):
    tool = {"function": {"name": "f", "parameters": {"properties": {"a": {"pattern": "(?<=a)b"}}}}}
    with pytest.raises(SchemaError, match="look-behind") as raised:
        llm.chat("hi", tools=[TOOLS[1], tool])

    assert raised.value.param == "tools[1].function.parameters.properties.a.pattern"


def test_a_stop_token_ends_a_call_as_a_stop_string_does(llm):
    [stop] = llm._running().loaded.tokenizer.encode("w")
    choice = {"type": "function", "name": "now"}
    completion = llm.chat("hi", tool_choice=choice, stop_token_ids=[stop], **OPTIONS)

    assert completion.text.endswith("no")
    assert (completion.finish_reason, completion.tool_calls) == ("stop", ())


def test_a_stop_token_ends_a_text_of_a_format(llm):
    [stop] = llm._running().loaded.tokenizer.encode("b")
    schema = {"enum": ["xabc", "yabc"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    completion = llm.chat("hi", response_format=form, stop_token_ids=[stop], seed=1)

    assert completion.text in ('"xa', '"ya')


def test_a_call_is_complete_if_a_stop_token_is_its_last_one(tmp_path):
    with LLM(write_tool_folder(tmp_path / "model", "gemma4")) as llm:
        [stop] = llm._running().loaded.tokenizer.encode("<tool_call|>")
        completion = llm.chat("hi", tool_choice="required", stop_token_ids=[stop], **OPTIONS)

    assert completion.finish_reason == "tool_calls"
    assert len(completion.tool_calls) == 1


@mod
class Answers:
    """Sets a whole output, which no constraint sees."""

    def added(self, event, actions, tokenizer):
        return actions.force_output(tokenizer.encode("Hello"))


def test_a_mod_that_answers_in_place_of_a_required_call_is_an_error(llm):
    with pytest.raises(ConstraintError, match="tools") as raised:
        llm.chat("hi", mods=[Answers], tool_choice="required", **OPTIONS)

    assert isinstance(raised.value, ConcordanceError)


# Over HTTP


@pytest.fixture(name="post")
def _post(llm):
    runtime = llm._running()
    context = ServerContext(models=OneModel(runtime, runtime.chat), mods=mod_catalog())
    client = TestClient(create_app(context), base_url="http://127.0.0.1:8000")

    def post(**fields):
        body = {
            "model": runtime.model.id,
            "messages": [{"role": "user", "content": "hi"}],
            "tools": TOOLS,
            "tool_choice": "required",
            "temperature": 1,
            "max_tokens": 300,
            "seed": 8,
        }
        return client.post("/v1/chat/completions", json=body | fields)

    return post


def test_a_stream_has_the_calls_of_the_whole_response(post):
    message = post().json()["choices"][0]["message"]
    lines = [line for line in post(stream=True).text.splitlines() if line.startswith("data: {")]
    choices = [json.loads(line[6:])["choices"][0] for line in lines]
    deltas = [call for c in choices for call in c["delta"].get("tool_calls", ())]
    calls = [
        {
            "name": next(d["function"]["name"] for d in deltas if d["index"] == i and "id" in d),
            "arguments": "".join(d["function"]["arguments"] for d in deltas if d["index"] == i),
        }
        for i in range(1 + max(d["index"] for d in deltas))
    ]

    assert choices[-1]["finish_reason"] == "tool_calls"
    assert calls == [call["function"] for call in message["tool_calls"]]
    assert message["content"] is None
    assert not any(c["delta"].get("content") for c in choices)


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_an_unsupported_keyword_is_refused_with_its_place_before_anything_is_sent(post, choice):
    function = {"name": "f", "parameters": {"properties": {"a": {"$ref": "http://x/y"}}}}
    response = post(
        tools=[TOOLS[0], {"type": "function", "function": function}],
        tool_choice=choice,
        stream=True,
    )

    assert response.status_code == 400
    assert response.json()["error"]["param"] == ("tools[1].function.parameters.properties.a.$ref")


def test_the_tables_of_constraints_are_built_once_outside_the_time_limit(tmp_path, monkeypatch):
    built, within = [], []

    def compile_within(seconds, compile_):
        within.append(len(built))
        return compile_()

    monkeypatch.setattr(runtime, "prepare_constraints", built.append)
    monkeypatch.setattr(call_mod, "compile_within", compile_within)
    with LLM(write_tool_folder(tmp_path / "model", None)) as llm:
        llm.chat("hi", max_tokens=1)
        assert built == []
        for _ in range(2):
            llm.chat("hi", tools=TOOLS, max_tokens=1)

    assert (len(built), within) == (1, [1, 1])
