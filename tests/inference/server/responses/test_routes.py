"""`/v1/responses`, over an engine with scripted updates; each body and event has OpenAI's types."""

from urllib.parse import quote

import pytest
from concordance_inference.generation import (
    ControlDelta,
    Failed,
    PrefillProgress,
    ReportsDelta,
    Started,
    TextDelta,
    TokenLogprobs,
)
from concordance_inference.server import updates
from concordance_sdk import FinishReason
from concordance_shared import (
    EngineOverloadedError,
    FunctionCall,
    InvalidActionError,
    ModReport,
    ToolCall,
)
from fake_engine import FakeEngine, completed, says
from openai_types import check_item_list, check_response, events_of

ASK = {"model": "fake", "input": "hi"}
USER = {"role": "user", "content": "hi"}
CALL = ToolCall(id="call_1", function=FunctionCall("look_up", '{"a":1}'))
TOOL = {"type": "function", "name": "look_up", "parameters": {"type": "object"}}


def post(client, **fields):
    return client.post("/v1/responses", json={**ASK, **fields})


def create(client, **fields):
    """The body of a response, which has OpenAI's type."""
    response = post(client, **fields)
    assert response.status_code == 200, response.text
    check_response(response.json())
    return response.json()


def stream(client, **fields):
    response = post(client, stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "[DONE]" not in response.text
    return events_of(response.text)


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


def refused(client, **fields):
    response = post(client, **fields)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def messages(engine):
    """The messages of the last request, as (role, text)."""
    return [(m.role, m.text) for m in engine.requests[-1].conversation.messages]


@pytest.fixture(name="served")
def _served(serve):
    """A client whose event loop lives as long as the test, and its engine."""
    engine = FakeEngine()
    with serve(engine) as client:
        yield client, engine


# Responses without a stream


def test_a_response_has_openais_shape_and_repeats_the_request(client):
    body = create(
        client,
        instructions="Be brief.",
        metadata={"a": "b"},
        max_output_tokens=7,
        temperature=0.5,
        top_p=0.9,
        user="me",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="auto",
        truncation="auto",
        parallel_tool_calls=False,
        max_tool_calls=3,
        text={"verbosity": "low"},
        include=["file_search_call.results"],
        prompt_cache_options={"mode": "implicit"},
    )

    assert body["object"] == "response"
    assert body["id"].startswith("resp_")
    assert body["status"] == "completed"
    assert isinstance(body["created_at"], int)
    assert isinstance(body["completed_at"], int)
    (item,) = body["output"]
    assert item["id"].startswith("msg_")
    assert item["content"][0]["text"] == "Hello"
    assert body["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }
    assert body["instructions"] == "Be brief."
    assert body["metadata"] == {"a": "b"}
    assert (body["temperature"], body["top_p"]) == (0.5, 0.9)
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert body["service_tier"] == "default"
    assert body["store"] is True
    assert "concordance" not in body


def test_fields_reach_the_engine(serve):
    engine = FakeEngine()
    create(
        serve(engine),
        instructions="Be brief.",
        max_output_tokens=7,
        temperature=0,
        seed=3,
        stop=["a"],
        mods=["greeting"],
        min_p=0.5,
    )

    (request,) = engine.requests
    assert (request.max_tokens, request.stop, request.stream) == (7, ("a",), False)
    assert (request.sampling.seed, request.sampling.min_p) == (3, 0.5)
    assert [call.name for call in request.mods] == ["greeting"]
    assert messages(engine) == [("system", "Be brief."), ("user", "hi")]


def test_null_is_the_default_of_every_field_but_model(client):
    names = "instructions tools tool_choice text reasoning include store metadata user stream stop"

    assert create(client, **dict.fromkeys(names.split()))["status"] == "completed"


def test_a_completion_cut_at_its_length_is_incomplete(serve):
    engine = FakeEngine(says("Hel", finish_reason=FinishReason.LENGTH))
    body = create(serve(engine))

    assert body["status"] == "incomplete"
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    assert body["completed_at"] is None
    assert body["output"][0]["status"] == "incomplete"


def test_a_completion_without_text_has_an_empty_message(serve):
    body = create(serve(FakeEngine(says())))

    assert [part["text"] for part in body["output"][0]["content"]] == [""]


def test_calls_of_functions_are_items(serve):
    engine = FakeEngine(says("", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,)))
    body = create(serve(engine), tools=[TOOL], mods=["greeting"])

    (call,) = body["output"]
    assert call["id"].startswith("fc_")
    assert (call["call_id"], call["name"], call["arguments"]) == ("call_1", "look_up", '{"a":1}')
    assert (body["status"], call["status"]) == ("completed", "completed")
    assert body["tools"][0]["name"] == "look_up"
    assert [tool.function.name for tool in engine.requests[0].conversation.schemas.tools] == [
        "look_up"
    ]


def test_what_mods_did_and_token_ids_are_in_the_field_of_our_own(serve):
    report = ModReport(mod="m", step=0, data={"n": 1})
    engine = FakeEngine([completed("Hi", reports=(report,), forced_tokens=2, prompt_ids=(1, 2))])
    body = create(serve(engine), mods=["greeting"], return_token_ids=True)

    about = body["concordance"]
    assert (about["forced_tokens"], about["backtracked_tokens"]) == (2, 0)
    assert [each["data"] for each in about["reports"]] == [{"n": 1}]
    assert (about["prompt_token_ids"], about["token_ids"]) == ([1, 2], [0, 1])


LOGPROBS = (
    TokenLogprobs(token_id=72, logprob=-0.5, top=((73, -1.5),)),
    TokenLogprobs(token_id=105, logprob=float("-inf"), top=()),
)


def test_logprobs_are_included_where_they_are_asked_for(serve):
    engine = FakeEngine(
        [
            Started(prompt_tokens=3),
            TextDelta(text="H", logprobs=LOGPROBS[:1]),
            TextDelta(text="i", logprobs=LOGPROBS[1:]),
            completed("Hi", logprobs=LOGPROBS),
        ]
    )
    fields = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    first, second = create(serve(engine), **fields)["output"][0]["content"][0]["logprobs"]

    assert engine.requests[0].top_logprobs == 1
    assert first["top_logprobs"] == [{"token": "I", "logprob": -1.5, "bytes": [73]}]
    assert (second["token"], second["logprob"]) == ("i", -9999.0)
    events = stream(serve(engine), **fields)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [[entry["token"] for entry in event["logprobs"]] for event in deltas] == [["H"], ["i"]]
    assert len(events[-1]["response"]["output"][0]["content"][0]["logprobs"]) == 2


# Streams


def test_the_events_of_a_message_come_in_openais_order(client):
    events = stream(client)

    assert types(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event.get("delta") for event in events[4:6]] == ["Hel", "lo"]
    assert events[0]["response"]["status"] == "in_progress"
    assert events[0]["response"]["output"] == []
    assert events[-1]["response"]["output"] == [events[-2]["item"]]


def test_a_stream_ends_with_the_body_of_the_response_that_is_not_streamed(serve):
    client = serve(FakeEngine())
    whole, last = create(client), stream(client)[-1]["response"]

    def without_ids(body):
        item = {**body["output"][0], "id": ""}
        return {**body, "id": "", "created_at": 0, "completed_at": 0, "output": [item]}

    assert without_ids(last) == without_ids(whole)


def test_the_events_of_a_call_follow_those_of_the_message(serve):
    engine = FakeEngine(says("a", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,)))
    events = stream(serve(engine), tools=[TOOL], mods=["greeting"])

    assert types(events)[-6:] == [
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["output_index"] for event in events[-5:-1]] == [1] * 4


def test_a_stream_begins_while_a_long_prompt_is_prefilled(serve, monkeypatch):
    monkeypatch.setattr(updates, "PATIENCE_S", 0.01)
    engine = FakeEngine([0.05, EngineOverloadedError("the queue is full")])
    events = stream(serve(engine))

    assert types(events) == ["created", "in_progress", "error", "failed"]


def test_a_stream_that_is_cut_ends_with_incomplete(serve):
    engine = FakeEngine(says("Hel", finish_reason=FinishReason.LENGTH))

    assert types(stream(serve(engine)))[-2:] == ["output_item.done", "incomplete"]


def test_reports_of_mods_are_in_the_next_event(serve):
    report = ModReport(mod="m", step=0, data={"n": 1})
    before = [Started(prompt_tokens=3), ReportsDelta(reports=(report,))]
    engine = FakeEngine([*before, TextDelta(text="a"), completed("a", reports=(report,))])
    events = stream(serve(engine), mods=["greeting"])

    assert [each["data"] for each in events[2]["concordance"]["reports"]] == [{"n": 1}]
    assert len(events[-1]["response"]["concordance"]["reports"]) == 1


def test_commands_that_were_applied_are_in_an_event_of_their_own(serve):
    command = {"action": "pause"}
    before = [Started(prompt_tokens=3), ControlDelta(commands=(command,))]
    events = stream(serve(FakeEngine([*before, TextDelta(text="a"), completed("a")])))

    assert types(events)[:4] == ["created", "in_progress", "in_progress", "output_item.added"]
    assert events[2]["concordance"]["control"] == [command]


def test_the_progress_of_a_prefill_is_in_events_of_its_own(serve):
    progress = [PrefillProgress(total=9, cache=0, processed=n, time_ms=n) for n in (3, 6)]
    engine = FakeEngine([*progress, *says("a")])
    events = stream(serve(engine), stream_options={"include_progress": True})

    assert engine.requests[0].show_progress
    assert types(events)[:5] == ["created", *["in_progress"] * 3, "output_item.added"]
    shown = [event["concordance"]["progress"]["processed"] for event in events[2:4]]
    assert shown == [3, 6]


def test_a_failure_in_a_stream_is_an_error_and_then_the_failed_response(serve):
    error = InvalidActionError("mod 'm' failed", mod="m", event="Added", step=1)
    engine = FakeEngine([Started(prompt_tokens=3), TextDelta(text="Hel"), Failed(error=error)])
    client = serve(engine)
    *_, event, last = stream(client, mods=["greeting"])

    assert (event["type"], event["code"]) == ("error", "mod_invalid_action")
    assert event["message"] == "mod 'm' failed"
    assert event["concordance"]["error"]["mod"] == "m"
    assert last["type"] == "response.failed"
    body = last["response"]
    assert (body["status"], body["error"]["code"]) == ("failed", "server_error")
    assert body["output"][0]["status"] == "incomplete"
    assert client.get(f"/v1/responses/{body['id']}").json() == body


def test_a_failure_before_the_first_event_has_its_own_status(serve):
    client = serve(FakeEngine([EngineOverloadedError("the queue is full")]))

    assert post(client, stream=True).status_code == post(client).status_code == 429


# Reasoning

THOUGHT = ("<think>", "hm", "</think>", "Hel", "lo")


def test_reasoning_is_an_item_before_the_message_in_a_stream_and_in_one_body(serve):
    engine = FakeEngine(says(*THOUGHT, reasoning_tokens=2))
    client = serve(engine)
    body = create(client)
    events = stream(client)

    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    reasoning, message = body["output"]
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert reasoning["summary"] == []
    assert "encrypted_content" not in reasoning
    assert message["content"][0]["text"] == "Hello"
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
    assert types(events)[2:10] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
    ]

    def without_ids(output):
        return [{**item, "id": ""} for item in output]

    assert without_ids(events[-1]["response"]["output"]) == without_ids(body["output"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reasoning": {"summary": "auto"}},
        {"include": ["reasoning.encrypted_content"], "store": False},
    ],
)
def test_reasoning_that_is_sent_back_is_that_of_the_message(serve, fields):
    engine = FakeEngine(says(*THOUGHT))
    client = serve(engine)
    output = create(client, **fields)["output"]
    if fields.get("include"):
        output[0]["content"] = []
    create(client, input=[{"role": "user", "content": "hi"}, *output, USER])

    message = engine.requests[-1].conversation.messages[1]
    assert (message.reasoning_content, message.text) == ("hm", "Hello")


def test_a_chain_keeps_the_reasoning(serve):
    engine = FakeEngine(says(*THOUGHT))
    client = serve(engine)
    create(client, input="more", previous_response_id=create(client)["id"])

    assert engine.requests[-1].conversation.messages[1].reasoning_content == "hm"


def test_logprobs_of_a_message_are_those_of_its_text_and_not_of_the_reasoning(serve):
    entries = tuple(TokenLogprobs(token_id=ord(c), logprob=-1.0, top=()) for c in "".join(THOUGHT))
    end = completed("".join(THOUGHT), logprobs=entries)
    deltas = [TextDelta(text=chr(e.token_id), logprobs=(e,)) for e in entries]
    client = serve(FakeEngine([Started(prompt_tokens=3), *deltas, end]))
    fields = {"include": ["message.output_text.logprobs"]}
    whole = create(client, **fields)["output"][1]["content"][0]["logprobs"]
    streamed = stream(client, **fields)[-1]["response"]["output"][1]["content"][0]["logprobs"]

    assert "".join(entry["token"] for entry in whole) == "Hello"
    assert streamed == whole


# Tools

CALLED = '<tool_call>\n{"name": "look_up", "arguments": {"a": 1}}\n</tool_call>'


def test_a_call_that_the_model_writes_is_an_item(serve):
    pieces = [CALLED[i : i + 7] for i in range(0, len(CALLED), 7)]
    client = serve(FakeEngine(says("I look. ", *pieces)))
    message, call = create(client, tools=[TOOL])["output"]
    events = stream(client, tools=[TOOL])

    assert message["content"][0]["text"] == "I look."
    assert call["call_id"].startswith("call_")
    assert (call["name"], call["arguments"]) == ("look_up", '{"a": 1}')
    assert types(events)[-3:] == ["function_call_arguments.done", "output_item.done", "completed"]
    deltas = [e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta"]
    assert len(deltas) > 1
    assert "".join(deltas) == '{"a": 1}'


def test_a_call_that_is_cut_is_incomplete_and_no_part_of_the_next_prompt(serve):
    engine = FakeEngine(says("I look. ", CALLED[:-20], finish_reason=FinishReason.LENGTH))
    client = serve(engine)
    body = create(client, tools=[TOOL])
    create(client, previous_response_id=body["id"], tools=[TOOL])

    assert body["status"] == "incomplete"
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]
    message = engine.requests[-1].conversation.messages[1]
    assert (message.text, message.tool_calls) == ("I look.", None)


@pytest.mark.parametrize(
    ("choice", "shown", "mode", "names"),
    [
        (None, "auto", "auto", ["look_up", "now"]),
        ("none", "none", None, None),
        ("required", "required", "required", ["look_up", "now"]),
        ({"type": "function", "name": "now"}, None, "required", ["now"]),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "now"}],
            },
            None,
            "auto",
            ["now"],
        ),
    ],
)
def test_the_choice_of_tools_has_the_shapes_of_this_api(serve, choice, shown, mode, names):
    engine = FakeEngine()
    body = create(serve(engine), tools=[TOOL, {**TOOL, "name": "now"}], tool_choice=choice)
    offer = engine.requests[0].offer

    assert body["tool_choice"] == (shown or choice)
    assert (offer and list(offer.by_name)) == names
    assert (offer and offer.is_required) == (None if mode is None else mode == "required")


@pytest.mark.parametrize(
    "choice",
    [
        "all",
        {"type": "web_search_preview"},
        {"type": "function", "name": "other"},
        {"type": "function"},
        {"type": "allowed_tools", "mode": "auto", "tools": []},
    ],
)
def test_a_wrong_choice_of_tools_is_refused(client, choice):
    assert refused(client, tools=[TOOL], tool_choice=choice)["param"].startswith("tool_choice")


# Stored responses


def test_a_stored_response_is_returned_as_it_was_sent(client):
    body = create(client)
    events = stream(client)

    assert client.get(f"/v1/responses/{body['id']}").json() == body
    last = events[-1]["response"]
    assert client.get(f"/v1/responses/{last['id']}").json() == last


def test_a_response_with_store_false_is_not_kept(client):
    body = create(client, store=False)
    got = client.get(f"/v1/responses/{body['id']}")

    assert got.status_code == 404
    assert got.json()["error"]["type"] == "not_found_error"
    assert got.json()["error"]["code"] == "response_not_found"
    assert "store=false" in got.json()["error"]["message"]


def test_a_deleted_response_is_gone(client):
    body = create(client)
    path = f"/v1/responses/{body['id']}"

    assert client.delete(path).json() == {"id": body["id"], "object": "response", "deleted": True}
    assert client.get(path).status_code == client.delete(path).status_code == 404
    assert "was deleted" in client.get(path).json()["error"]["message"]


def test_an_evicted_response_is_reported_as_evicted(serve):
    client = serve()
    client.app.state.context.responses._max_responses = 1
    first, _ = create(client), create(client)
    got = client.get(f"/v1/responses/{first['id']}")

    assert got.status_code == 404
    assert "was evicted" in got.json()["error"]["message"]
    assert "--stored-responses" in got.json()["error"]["message"]
    error = refused(client, previous_response_id=first["id"])
    assert "was evicted" in error["message"]


# Conversations


def test_previous_response_id_continues_the_conversation(serve):
    engine = FakeEngine()
    client = serve(engine)
    first = create(client, instructions="Be brief.")
    second = create(client, input="more", previous_response_id=first["id"])
    chained = create(client, input="and more", previous_response_id=second["id"])

    assert messages(engine) == [
        ("user", "hi"),
        ("assistant", "Hello"),
        ("user", "more"),
        ("assistant", "Hello"),
        ("user", "and more"),
    ]
    assert chained["previous_response_id"] == second["id"]
    assert chained["instructions"] is None


def test_a_chain_has_the_messages_of_the_conversation_sent_as_input(serve):
    engine = FakeEngine(
        says("I look.", finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,)),
    )
    client = serve(engine)
    fields = {"tools": [TOOL], "mods": ["greeting"]}
    first = create(client, **fields)
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    create(client, input=[output], previous_response_id=first["id"], **fields)
    chained = engine.requests[-1].conversation.messages
    user = {"role": "user", "content": "hi"}
    create(client, input=[user, *first["output"], output], **fields)

    assert engine.requests[-1].conversation.messages == chained
    assert [message.role for message in chained] == ["user", "assistant", "tool"]
    assert chained[1].text == "I look."
    assert chained[1].tool_calls[0].id == chained[2].tool_call_id == "call_1"


def test_an_item_reference_is_replaced_by_the_stored_item(serve):
    engine = FakeEngine()
    client = serve(engine)
    first = create(client)
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    user = {"role": "user", "content": "more"}
    create(client, input=[reference, {"id": reference["id"]}, user])

    assert messages(engine) == [("assistant", "Hello"), ("assistant", "Hello"), ("user", "more")]
    got = post(client, input=[user, {"type": "item_reference", "id": "msg_0"}])
    assert got.status_code == 404
    assert got.json()["error"]["param"] == "input[1].id"


def test_an_unknown_previous_response_has_openais_status_and_code(client):
    error = refused(client, previous_response_id="resp_0")

    assert error["param"] == "previous_response_id"
    assert error["code"] == "previous_response_not_found"


def test_a_failed_response_cannot_be_continued(serve):
    error = InvalidActionError("mod 'm' failed", mod="m")
    engine = FakeEngine([Started(prompt_tokens=3), Failed(error=error)])
    client = serve(engine)
    failed = stream(client)[-1]["response"]

    assert "failed" in refused(client, previous_response_id=failed["id"])["message"]


def test_input_items_are_listed_newest_first_a_page_at_a_time(serve):
    client = serve()
    first = create(client)
    second = create(client, input="more", previous_response_id=first["id"])
    path = f"/v1/responses/{second['id']}/input_items"
    newest = client.get(path).json()
    check_item_list(newest)
    page = client.get(path, params={"order": "asc", "limit": 2}).json()
    rest = client.get(path, params={"order": "asc", "after": page["last_id"]}).json()

    assert [item["content"][0]["text"] for item in newest["data"]] == ["more", "Hello", "hi"]
    assert (page["has_more"], rest["has_more"]) == (True, False)
    assert page["data"] + rest["data"] == newest["data"][::-1]
    assert client.get("/v1/responses/resp_0/input_items").status_code == 404


def test_input_tokens_are_counted_without_generating(serve):
    engine = FakeEngine()
    got = serve(engine).post("/v1/responses/input_tokens", json=ASK)

    assert got.json() == {"object": "response.input_tokens", "input_tokens": 2}
    assert engine.requests == []


# In the background


def poll(client, response_id):
    """Wait until a response has ended."""
    for _ in range(1000):
        body = client.get(f"/v1/responses/{response_id}").json()
        check_response(body)
        if body["status"] not in ("queued", "in_progress"):
            return body
    raise AssertionError(body)


def test_a_response_in_the_background_is_returned_at_once_and_polled(served):
    client, engine = served
    engine.updates = [Started(prompt_tokens=3), 0.05, *says("Hel", "lo")[1:]]
    body = create(client, background=True)

    assert body["background"] is True
    assert body["status"] in ("queued", "in_progress")
    assert poll(client, body["id"])["output"][0]["content"][0]["text"] == "Hello"


def test_a_response_in_the_background_can_be_continued_once_it_has_ended(served):
    client, engine = served
    engine.updates = [Started(prompt_tokens=3), 60.0]
    running = create(client, background=True)["id"]
    error = refused(client, previous_response_id=running)
    client.post(f"/v1/responses/{running}/cancel", json={})
    engine.updates = says("Hel", "lo")
    ended = poll(client, create(client, background=True)["id"])
    create(client, input="more", previous_response_id=ended["id"])

    assert "still in progress" in error["message"]
    assert messages(engine)[-2:] == [("assistant", "Hello"), ("user", "more")]


def test_a_cancelled_response_keeps_its_text_and_frees_the_engine(served):
    client, engine = served
    engine.updates = [Started(prompt_tokens=3), TextDelta(text="Hel"), 60.0]
    running = create(client, background=True)["id"]
    while not client.get(f"/v1/responses/{running}").json()["output"]:
        pass
    body = client.post(f"/v1/responses/{running}/cancel", json={}).json()
    check_response(body)

    assert body["status"] == "cancelled"
    assert body["output"][0]["status"] == "incomplete"
    assert body["output"][0]["content"][0]["text"] == "Hel"
    assert len(engine.cancelled) == 1
    assert client.post(f"/v1/responses/{running}/cancel", json={}).json() == body
    assert client.get(f"/v1/responses/{running}").json() == body


def test_cancelling_a_response_that_is_waited_for_is_refused(client):
    body = create(client)
    got = client.post(f"/v1/responses/{body['id']}/cancel", json={})

    assert got.status_code == 400
    assert "background=true" in got.json()["error"]["message"]
    assert client.post("/v1/responses/resp_0/cancel", json={}).status_code == 404


def test_the_stream_of_a_response_in_the_background_can_be_followed_from_any_event(served):
    client, _ = served
    events = stream(client, background=True)
    path = f"/v1/responses/{events[0]['response']['id']}"
    again = events_of(client.get(path, params={"stream": "true"}).text)
    rest = events_of(client.get(path, params={"stream": "true", "starting_after": 4}).text)

    assert types(events)[:3] == ["created", "queued", "in_progress"]
    assert events[0]["response"]["status"] == "queued"
    assert types(events)[-1] == "completed"
    assert again == events
    assert rest == events[5:]
    assert client.get(path).json() == events[-1]["response"]


def test_a_failure_in_the_background_is_in_the_response(served):
    client, engine = served
    engine.updates = [EngineOverloadedError("the queue is full")]
    body = poll(client, create(client, background=True)["id"])

    assert body["status"] == "failed"
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["concordance"]["error"]["code"] == "rate_limit_exceeded"


def test_a_response_in_the_background_is_among_the_running_requests_until_it_has_ended(served):
    client, engine = served
    engine.updates = [Started(prompt_tokens=3), 60.0]
    running = create(client, background=True)["id"]

    def ids():
        return [each["id"] for each in client.get("/v1/requests").json()["data"]]

    assert ids() == [running.removeprefix("resp_")]
    client.post(f"/v1/responses/{running}/cancel", json={})
    assert ids() == []


def test_deleting_a_response_that_runs_cancels_it(served):
    client, engine = served
    engine.updates = [Started(prompt_tokens=3), 60.0]
    running = create(client, background=True)["id"]

    assert client.delete(f"/v1/responses/{running}").json()["deleted"]
    assert client.get(f"/v1/responses/{running}").status_code == 404
    assert len(engine.cancelled) == 1


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=maybe", "stream"),
        ("stream=true", "stream"),
        ("starting_after=1", "starting_after"),
        ("stream=true&starting_after=-1", "starting_after"),
    ],
)
def test_wrong_parameters_of_the_url_are_refused(client, query, param):
    body = create(client)
    got = client.get(f"/v1/responses/{body['id']}?{query}")

    assert got.status_code == 400
    assert got.json()["error"]["param"] == param


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "order=up", "after=msg_0"])
def test_wrong_parameters_of_a_page_are_refused(client, query):
    body = create(client)
    got = client.get(f"/v1/responses/{body['id']}/input_items?{query}")

    assert got.status_code == 400
    assert got.json()["error"]["param"] == query.partition("=")[0]


@pytest.mark.parametrize("chosen", ["a/b:c", "x/cancel", "x?y#z%", "x/input_items"])
def test_a_response_whose_id_has_reserved_characters_is_addressed_percent_encoded(client, chosen):
    headers = {"X-Request-Id": chosen}
    created = client.post("/v1/responses", json=ASK, headers=headers).json()
    path = f"/v1/responses/{quote(created['id'], safe='')}"

    assert created["id"] == f"resp_{chosen}"
    assert client.get(path).json()["id"] == created["id"]
    assert client.get(f"{path}/input_items").json()["data"]
    assert client.post(f"{path}/cancel", json={}).status_code == 400  # not in the background
    assert client.delete(path).json()["deleted"]
    assert client.get(path).status_code == 404
