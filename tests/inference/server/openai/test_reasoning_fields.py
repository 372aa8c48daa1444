"""Reasoning in chat requests and responses, over an engine with scripted updates."""

import json

import pytest
from concordance_inference.generation import Started, TextDelta, TokenLogprobs
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine, completed, says
from openai import OpenAI
from sandboxes import mod_catalog
from starlette.testclient import TestClient

SAID = ("<think>", "\nso ", "4\n", "</think>", "\n\n", "It is ", "4.")


class EffortChat(FakeChat):
    options = frozenset({"reasoning_effort"})


class PlainChat(FakeChat):
    options = frozenset()
    reasoning_tags = ()
    can_reason = False


class SwitchlessChat(FakeChat):
    options = frozenset()


@pytest.fixture(name="thinker")
def _thinker():
    """A client of a model that reasons, with attributes `engine` and `chat`."""

    def serve(chat=None, updates=None, **context):
        engine, chat = FakeEngine(updates or says(*SAID, reasoning_tokens=2)), chat or FakeChat()
        app = create_app(
            ServerContext(models=OneModel(engine, chat), mods=mod_catalog(), **context)
        )
        client = TestClient(app, base_url="http://127.0.0.1:8000")
        client.engine, client.chat = engine, chat
        return client

    return serve


def post(client, **fields):
    ask = {"model": "fake", "messages": [{"role": "user", "content": "2+2?"}]}
    return client.post("/v1/chat/completions", json={**ask, **fields})


def message(client, **fields):
    response = post(client, **fields)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]


def deltas(client, **fields):
    lines = post(client, stream=True, **fields).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line[6:7] == "{"]
    return [chunk["choices"][0]["delta"] for chunk in chunks]


def joined(sent, name):
    return "".join(delta.get(name, "") for delta in sent)


# Responses


def test_the_reasoning_has_two_fields_of_its_own(thinker):
    said = message(thinker())

    assert said["content"] == "It is 4."
    assert said["reasoning"] == said["reasoning_content"] == "so 4"


def test_a_stream_has_the_same_reasoning_and_content(thinker):
    sent = deltas(thinker())

    assert joined(sent, "content") == "It is 4."
    assert joined(sent, "reasoning") == joined(sent, "reasoning_content") == "so 4"
    assert [delta for delta in sent if "content" in delta][1:] == [
        {"content": "It is "},
        {"content": "4."},
    ]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_a_request_and_a_server_can_choose_one_field(thinker, name):
    for said in (
        message(thinker(), reasoning_field=name),
        message(thinker(reasoning_field=name)),
        {name: joined(deltas(thinker(), reasoning_field=name), name)},
    ):
        assert said[name] == "so 4"
        assert len({"reasoning", "reasoning_content"} & set(said)) == 1


def test_a_message_without_reasoning_has_no_field_for_it(thinker):
    assert "reasoning" not in message(thinker(updates=says("Hi")))


@pytest.mark.parametrize(
    "fields",
    [
        {"include_reasoning": False},
        {"reasoning_format": "hidden"},
        {"reasoning": {"exclude": True}},
    ],
)
def test_the_reasoning_can_be_left_out(thinker, fields):
    said = message(thinker(), **fields)

    assert said == {"role": "assistant", "content": "It is 4.", "refusal": None}


@pytest.mark.parametrize(
    "fields",
    [{"separate_reasoning": False}, {"reasoning_format": "none"}, {"reasoning_format": "raw"}],
)
def test_the_reasoning_can_be_left_in_the_content(thinker, fields):
    assert message(thinker(), **fields)["content"] == "".join(SAID)
    assert joined(deltas(thinker(), **fields), "content") == "".join(SAID)


def test_a_stream_can_have_the_reasoning_at_once(thinker):
    sent = deltas(thinker(), stream_reasoning=False)

    assert [d["reasoning"] for d in sent if "reasoning" in d] == ["so 4"]


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning_format": "auto"},
        {"reasoning_format": "parsed"},
        {"separate_reasoning": True, "stream_reasoning": True, "include_reasoning": True},
        {"reasoning": {"summary": "auto"}},
    ],
)
def test_values_that_change_nothing_are_accepted(thinker, fields):
    assert message(thinker(), **fields)["reasoning"] == "so 4"


def test_usage_has_the_tokens_of_the_reasoning(thinker):
    usage = post(thinker()).json()["usage"]

    assert usage["completion_tokens_details"]["reasoning_tokens"] == 2


def test_each_token_has_one_entry_of_logprobs(thinker):
    entries = [TokenLogprobs(token_id=i, logprob=-0.5, top=()) for i in range(len(SAID))]
    texts = [
        TextDelta(text=text, logprobs=(entry,)) for text, entry in zip(SAID, entries, strict=True)
    ]
    end = completed("".join(SAID), logprobs=tuple(entries))
    client = thinker(updates=[Started(prompt_tokens=3), *texts, end])

    lines = post(client, stream=True, logprobs=True).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line[6:7] == "{"]
    choices = [chunk["choices"][0] for chunk in chunks]
    sent = [entry for c in choices if c["logprobs"] for entry in c["logprobs"]["content"]]

    assert [entry["bytes"] for entry in sent] == [[i] for i in range(len(SAID))]
    assert len(post(client, logprobs=True).json()["choices"][0]["logprobs"]["content"]) == 7


def test_a_stream_with_retractions_is_one_text(thinker):
    sent = deltas(thinker(), stream_options={"include_retractions": True})

    assert joined(sent, "content") == "".join(SAID)


def test_the_official_client_keeps_the_reasoning(thinker):
    client = thinker()
    api = OpenAI(base_url=f"{client.base_url}/v1", api_key="k", http_client=client)
    ask = {"model": "fake", "messages": [{"role": "user", "content": "2+2?"}]}

    assert api.chat.completions.create(**ask).choices[0].message.reasoning_content == "so 4"
    with api.chat.completions.stream(**ask) as events:
        final = events.get_final_completion()
    assert final.choices[0].message.content == "It is 4."


@pytest.mark.parametrize(
    ("last", "reasoning", "content"),
    [
        ("<think>so", "it is", "4 <think>"),
        ("<think>so</think>It", "", "it is</think>4 <think>"),
        ("It", "", "it is</think>4 <think>"),
    ],
)
def test_a_message_is_continued_inside_its_reasoning_or_its_content(
    thinker, last, reasoning, content
):
    client = thinker(updates=says("it is</think>", "4 <think>"))
    messages = [{"role": "assistant", "content": last}]
    said = message(client, messages=messages, continue_final_message=True)

    assert (said.get("reasoning", ""), said["content"]) == (reasoning, content)


# Effort and switches


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({"reasoning_effort": "none"}, {"enable_thinking": False}),
        ({"reasoning_effort": "high"}, {"enable_thinking": True}),
        ({"reasoning": {"effort": "low"}}, {"enable_thinking": True}),
        ({"reasoning": {"enabled": False}}, {"enable_thinking": False}),
        ({"enable_thinking": False}, {"enable_thinking": False}),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"enable_thinking": True}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": True}, {"enable_thinking": True}),
        ({"thinking_budget": 0}, {"enable_thinking": False}),
        ({"thinking_budget": 5}, {}),
        ({"reasoning_budget": -1}, {}),
        (
            {"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": False}},
            {"enable_thinking": False},
        ),
    ],
)
def test_a_request_switches_the_reasoning(thinker, fields, variables):
    client = thinker()

    assert post(client, **fields).status_code == 200
    assert client.chat.rendered == [variables]


def test_a_template_that_reads_the_budget_gets_it(thinker):
    class BudgetChat(FakeChat):
        options = frozenset({"thinking_budget"})

    client = thinker(BudgetChat())

    assert post(client, thinking_token_budget=512).status_code == 200
    assert client.chat.rendered == [{"thinking_budget": 512}]
    assert len(client.engine.requests[0].mods) == 1


@pytest.mark.parametrize("effort", ["none", "low", "xhigh"])
def test_a_template_that_reads_the_effort_gets_it(thinker, effort):
    client = thinker(EffortChat())

    assert post(client, reasoning_effort=effort).status_code == 200
    assert client.chat.rendered == [{"reasoning_effort": effort}]
    assert client.engine.requests[0].mods == ()


def test_a_model_without_a_switch_has_its_reasoning_ended_at_once(thinker):
    client = thinker(SwitchlessChat())

    assert post(client, reasoning_effort="none").status_code == 200
    [call] = client.engine.requests[0].mods
    assert (call.name, call.parameters["max_tokens"]) == ("reasoning_budget", 0)
    assert client.chat.rendered == [{}]


def test_a_model_that_does_not_reason_refuses_to_by_the_name_of_the_field(thinker):
    for fields in ({"reasoning_effort": "low"}, {"enable_thinking": True}):
        error = post(thinker(PlainChat()), **fields).json()["error"]
        assert error["param"] == next(iter(fields))

    client = thinker(PlainChat())
    assert post(client, reasoning_effort="none", thinking_budget=5).status_code == 200
    assert client.engine.requests[0].mods == ()


# Budgets


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking_token_budget": 5},
        {"thinking_budget": 5},
        {"thinking_budget_tokens": 5},
        {"reasoning_budget": 5},
        {"reasoning_budget_tokens": 5},
        {"max_thinking_tokens": 5},
        {"max_reasoning_tokens": 5, "thinking_budget": 5},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"reasoning": {"max_tokens": 5}},
    ],
)
def test_a_budget_is_enforced_under_each_of_its_names(thinker, fields):
    client = thinker()
    assert post(client, model="fake/greeting", **fields).status_code == 200
    *_, call = client.engine.requests[0].mods

    assert call.name == "reasoning_budget"
    assert call.parameters == {
        "max_tokens": 5,
        "open_tag": "<think>",
        "close_tag": "</think>",
        "closing": "",
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"thinking_budget": -2}, "thinking_budget"),
        ({"thinking_token_budget": 1.5}, "thinking_token_budget"),
        ({"thinking_token_budget": "5"}, "thinking_token_budget"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -2}}, "thinking.budget_tokens"),
        ({"reasoning": {"max_tokens": True}}, "reasoning.max_tokens"),
        ({"reasoning_effort": ""}, "reasoning_effort"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"reasoning_format": "xml"}, "reasoning_format"),
        ({"reasoning_field": "thoughts"}, "reasoning_field"),
        ({"include_reasoning": "no"}, "include_reasoning"),
        ({"thinking_budget": 1, "reasoning_budget": 2}, "reasoning_budget"),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"reasoning_effort": "none", "enable_thinking": True}, "enable_thinking"),
        ({"enable_thinking": True, "thinking": False}, "thinking"),
        ({"include_reasoning": False, "separate_reasoning": False}, "include_reasoning"),
        (
            {"enable_thinking": True, "chat_template_kwargs": {"enable_thinking": False}},
            "enable_thinking",
        ),
    ],
)
def test_a_bad_or_contradicting_field_is_refused_by_its_name(thinker, fields, param):
    client = thinker()
    response = post(client, **fields)

    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
    assert client.engine.requests == []


def test_fields_of_reasoning_are_refused_where_there_are_no_messages(thinker):
    for fields, status in (({"thinking_budget": 5}, 400), ({"separate_reasoning": True}, 200)):
        body = {"model": "fake", "prompt": "hi", **fields}
        assert thinker().post("/v1/completions", json=body).status_code == status
