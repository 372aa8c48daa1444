"""Bodies of Anthropic's Messages API, and what they ask of the engine."""

import pytest
from fake_engine import INFO, FakeChat

USER = {"role": "user", "content": "hi"}
ASK = {"model": "fake", "max_tokens": 5, "messages": [USER]}
TOOL = {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def text(content):
    return {"type": "text", "text": content, "cache_control": {"type": "ephemeral"}}


def sent(api, **fields):
    """What the engine is asked, and the messages that are rendered."""
    client = api()
    response = client.http.post("/v1/messages", json={**ASK, **fields})
    assert response.status_code == 200, response.text
    return client.engine.requests[0], client.chat


def rendered(api, *messages, **fields):
    return sent(api, messages=list(messages), **fields)[1].messages


# Fields


def test_sampling_and_stop_sequences_reach_the_engine(api):
    request, _ = sent(api, temperature=0.5, top_p=0.9, top_k=3, seed=1, stop_sequences=["#", "!"])

    assert request.max_tokens == 5
    assert (request.sampling.temperature, request.sampling.top_k) == (0.5, 3)
    assert request.stop == ("#", "!")


def test_mods_are_named_in_the_model_or_in_a_list(api):
    request, _ = sent(api, model="fake/greeting", mods=["greeting"])

    assert [call.name for call in request.mods] == ["greeting", "greeting"]


@pytest.mark.parametrize(
    ("fields", "variables", "budget"),
    [
        ({}, {}, None),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {}, None),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}},
            {"enable_thinking": True},
            1024,
        ),
    ],
)
def test_thinking_is_switched_and_limited(api, fields, variables, budget):
    request, chat = sent(api, **fields)

    assert chat.rendered == [variables]
    assert [call.parameters["max_tokens"] for call in request.mods] == ([budget] if budget else [])


class PlainChat(FakeChat):
    options = frozenset()
    reasoning_tags = ()


class EffortChat(FakeChat):
    options = frozenset({"reasoning_effort"})


def test_a_model_that_cannot_reason_is_not_asked_to(api):
    client = api(chat=PlainChat())
    thinking = {"type": "enabled", "budget_tokens": 1024}
    client.messages.create(**ASK, thinking=thinking)

    assert (client.chat.rendered, client.engine.requests[0].mods) == ([{}], ())


def test_effort_reaches_a_template_that_reads_it(api):
    client = api(chat=EffortChat())
    client.messages.create(**ASK, output_config={"effort": "low"})

    assert client.chat.rendered == [{"reasoning_effort": "low"}]


@pytest.mark.parametrize(
    "fields",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": PERSON}}},
        {"output_format": {"type": "json_schema", "schema": PERSON}},
    ],
)
def test_a_format_is_enforced(api, fields):
    request, _ = sent(api, **fields)

    assert request.mods[-1].name == "response_format"
    assert request.conversation.schemas.response_format.json_schema.schema == PERSON


def test_what_claude_code_sends_is_accepted(api):
    client = api()
    response = client.http.post(
        "/v1/messages?beta=true",
        json={
            "model": "fake",
            "max_tokens": 32000,
            "temperature": 1,
            "stream": True,
            "system": [text("x-anthropic-billing-header: cch=1;"), text("You are " + "c" * 40_000)],
            "messages": [{"role": "user", "content": [text("<system-reminder>"), text("hi")]}],
            "metadata": {"user_id": "user_1_account__session_2"},
            "thinking": {"type": "adaptive", "display": "updates"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "output_config": {"effort": "high"},
            "service_tier": "auto",
        },
        headers={
            "anthropic-version": "2023-06-01",
            "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
            "x-api-key": "k",
            "x-app": "cli",
            "x-stainless-lang": "js",
        },
    )

    assert response.status_code == 200, response.text
    assert "event: message_stop" in response.text


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": ""}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "a",
                                "content": [{"type": "image"}],
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].content[0].type",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "a", "name": "b", "input": 3}],
                    }
                ]
            },
            "messages[0].content[0].input",
        ),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "user", "content": []}], "system": "be brief"}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_addition"}]}]},
            "messages[0].content[0].tool",
        ),
        ({"system": 3}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "add"}]}, "tools[0].input_schema"),
        ({"tools": [{**TOOL, "name": "a b"}]}, "tools[0].name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "b"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": "auto"}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "often"}}, "thinking.type"),
        ({"stop_sequences": "#"}, "stop_sequences"),
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"url": "u"}]}, "mcp_servers"),
        ({"n": 2}, "n"),
        ({"max_token": 3}, "max_token"),
        (
            {
                "output_format": {"type": "json_schema", "schema": {}},
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
            },
            "output_format",
        ),
        ({"messages": [{"role": "user", "content": [text("a")] * 2000}]}, "messages[0].content"),
    ],
)
def test_an_invalid_field_is_refused_by_its_name_and_nothing_is_run(api, fields, param):
    client = api()
    response = client.http.post("/v1/messages", json={**ASK, **fields})
    error = response.json()["error"]

    assert response.status_code == 400, response.text
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert param in error["message"]
    assert client.engine.requests == []


def test_a_role_of_openais_api_is_refused_with_the_roles_of_this_one(api):
    message = {"role": "tool", "content": "4", "tool_call_id": "a"}
    response = api().http.post("/v1/messages", json={**ASK, "messages": [USER, message]})
    error = response.json()["error"]

    assert (response.status_code, error["param"]) == (400, "messages[1].role")
    assert "user, assistant and system" in error["message"]
    assert "tool_result" in error["message"]


def test_max_tokens_is_required(api):
    response = api().http.post("/v1/messages", json={"model": "fake", "messages": [USER]})

    assert response.json()["error"]["param"] == "max_tokens"


# Tools


def test_tools_reach_the_chat_template_and_the_engine(api):
    request, chat = sent(api, tools=[{**TOOL, "type": "custom", "cache_control": None}])
    [tool] = chat.tools

    assert (tool.function.name, tool.function.description) == ("add", "Adds.")
    assert tool.function.parameters == {"type": "object"}
    assert list(request.offer.by_name) == ["add"]


@pytest.mark.parametrize(
    ("choice", "names", "is_required", "is_parallel"),
    [
        (None, ["add", "sub"], False, True),
        ({"type": "auto"}, ["add", "sub"], False, True),
        ({"type": "auto", "disable_parallel_tool_use": True}, ["add", "sub"], False, False),
        ({"type": "any"}, ["add", "sub"], True, True),
        ({"type": "any", "disable_parallel_tool_use": False}, ["add", "sub"], True, True),
        ({"type": "tool", "name": "sub"}, ["sub"], True, False),
        ({"type": "tool", "name": "sub", "disable_parallel_tool_use": True}, ["sub"], True, False),
        ({"type": "tool", "name": "sub", "disable_parallel_tool_use": False}, ["sub"], True, True),
    ],
)
def test_the_choice_of_tools_is_enforced(api, choice, names, is_required, is_parallel):
    request, _ = sent(api, tools=[TOOL, {**TOOL, "name": "sub"}], tool_choice=choice)
    offer = request.offer

    assert (list(offer.by_name), offer.is_required) == (names, is_required)
    assert offer.is_parallel == is_parallel


def test_no_tool_is_offered_if_the_choice_is_none(api):
    request, chat = sent(api, tools=[TOOL], tool_choice={"type": "none"})

    assert (request.offer, list(chat.tools)) == (None, [])


def reference(name):
    result = {"type": "tool_reference", "tool_name": name}
    return [{"type": "tool_result", "tool_use_id": "a", "content": [result]}]


def change(kind, name):
    return [{"type": kind, "tool": {"type": "tool_reference", "name": name}}]


@pytest.mark.parametrize(
    ("role", "content", "names"),
    [
        ("user", "hi", ["add"]),
        ("user", reference("sub"), ["add", "sub"]),
        ("system", change("tool_addition", "sub"), ["add", "sub"]),
        ("system", [*change("tool_addition", "sub"), *change("tool_removal", "add")], ["sub"]),
    ],
)
def test_a_deferred_tool_is_offered_once_the_conversation_names_it(api, role, content, names):
    messages = [USER, {"role": role, "content": content}]
    tools = [TOOL, {**TOOL, "name": "sub", "defer_loading": True}]

    assert list(sent(api, messages=messages, tools=tools)[0].offer.by_name) == names


def test_the_result_of_a_tool_search_names_the_tools(api):
    *_, result = rendered(api, USER, {"role": "user", "content": reference("sub")})

    assert (result.role, result.content) == ("tool", "The tool sub is available now.")


# Counting


def test_tokens_of_a_prompt_are_counted_without_max_tokens(api):
    client = api()
    counted = client.messages.count_tokens(
        model="fake", messages=[USER], system="s", thinking={"type": "adaptive"}
    )

    assert counted.input_tokens == 2
    assert client.engine.requests == []


def test_tokens_of_a_prompt_that_is_too_long_are_counted(api):
    too_long = [{"role": "user", "content": "too long"}]

    assert api().messages.count_tokens(model="fake", messages=too_long).input_tokens == (
        INFO.context_length
    )


def test_a_count_may_have_max_tokens(api):
    response = api().http.post("/v1/messages/count_tokens", json=ASK)

    assert response.json() == {"input_tokens": 2}


def test_a_count_without_messages_is_refused(api):
    response = api().http.post("/v1/messages/count_tokens", json={"model": "fake"})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")
