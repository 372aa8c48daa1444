"""Messages in Anthropic's shape, whole and as events, with its official client."""

import json

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from concordance_inference.generation import (
    ControlDelta,
    Failed,
    PrefillProgress,
    Started,
    TextDelta,
)
from concordance_inference.server import updates
from concordance_inference.server.transport import sse
from concordance_sdk import FinishReason
from concordance_shared import FunctionCall, InvalidActionError, ModReport, ToolCall
from fake_engine import INFO, completed, says
from pydantic import TypeAdapter

ASK = {"model": "fake", "max_tokens": 50, "messages": [{"role": "user", "content": "2+2?"}]}
CALL = ToolCall(id="call_1", function=FunctionCall("add", '{"a":2,"b":2}'))
THOUGHT = ("<think>\nso 4\n</think>", "\n\n", "It is ", "4.")


def post(api, **fields):
    return api.http.post("/v1/messages", json={**ASK, **fields})


def events(response):
    """The names and the data of a stream's events."""
    sent = [block.split("\n") for block in response.text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in sent]


def calling(text="", **fields):
    end = completed(text, finish_reason=FinishReason.TOOL_CALLS, tool_calls=(CALL,), **fields)
    return [Started(prompt_tokens=3), *([TextDelta(text=text)] if text else ()), end]


# Whole


def test_a_message_has_anthropics_shape(api):
    body = post(api()).json()

    assert body.pop("id").startswith("msg_")
    assert body == {
        "type": "message",
        "role": "assistant",
        "model": "fake",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    ("fields", "reason", "sequence"),
    [
        ({}, "end_turn", None),
        ({"stopped_by": "###"}, "stop_sequence", "###"),
        ({"stopped_by": 7}, "end_turn", None),
        ({"finish_reason": FinishReason.LENGTH}, "max_tokens", None),
        (
            {"finish_reason": FinishReason.LENGTH, "prompt_tokens": INFO.context_length - 5},
            "model_context_window_exceeded",
            None,
        ),
        ({"finish_reason": FinishReason.TOOL_CALLS, "tool_calls": (CALL,)}, "tool_use", None),
    ],
)
def test_the_reason_for_the_end_is_one_of_anthropics(api, fields, reason, sequence):
    made = api([completed("Hello", **fields)]).messages.create(**ASK)

    assert (made.stop_reason, made.stop_sequence) == (reason, sequence)
    Message.model_validate(made.model_dump(), strict=True)


def test_the_counts_of_input_add_up_to_the_prompt(api):
    made = api(says("Hi", prompt_tokens=30, cached_tokens=20, reasoning_tokens=1))
    usage = made.messages.create(**ASK).usage

    assert (usage.input_tokens, usage.cache_read_input_tokens) == (10, 20)
    assert usage.output_tokens_details.thinking_tokens == 1


def test_thinking_text_and_calls_are_blocks_in_order(api):
    made = api(calling("".join(THOUGHT))).messages.create(**ASK)

    assert [block.type for block in made.content] == ["thinking", "text", "tool_use"]
    thinking, text, call = made.content
    assert (thinking.thinking, text.text) == ("so 4", "It is 4.")
    assert len(thinking.signature) == 64
    assert (call.id, call.name, call.input) == ("call_1", "add", {"a": 2, "b": 2})
    Message.model_validate(made.model_dump(), strict=True)


def test_text_of_white_space_only_is_no_block(api):
    assert api(says("\n\n")).messages.create(**ASK).content == []
    [call] = api(calling("\n")).messages.create(**ASK).content
    assert call.type == "tool_use"


def test_omitted_thinking_comes_back_in_its_signature(api):
    thinking = {"type": "adaptive", "display": "omitted"}
    client = api(says(*THOUGHT))
    made = client.messages.create(**ASK, thinking=thinking)
    assert made.content[0].thinking == ""

    user = ASK["messages"][0]
    client.messages.create(**{**ASK, "messages": [user, made.to_param(), user]})
    assert client.chat.messages[1].reasoning_content == "so 4"


# Calls that the model writes

TOOLS = [{"name": "add", "input_schema": {"type": "object"}}]
WRITTEN = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": [1, 2]}}\n</tool_call>'


def test_a_call_that_the_model_writes_is_a_block(api):
    made = api(says("I add. ", WRITTEN)).messages.create(**ASK, tools=TOOLS)
    text, call = made.content

    assert made.stop_reason == "tool_use"
    assert text.text == "I add."
    assert (call.name, call.input) == ("add", {"a": 2, "b": [1, 2]})
    Message.model_validate(made.model_dump(), strict=True)


def test_the_input_of_a_call_is_streamed_as_it_comes(api):
    pieces = [WRITTEN[i : i + 7] for i in range(0, len(WRITTEN), 7)]
    sent = events(post(api(says("I add. ", *pieces)), tools=TOOLS, stream=True))
    deltas = [data["delta"] for _, data in sent if "delta" in data]
    inputs = [d["partial_json"] for d in deltas if d.get("type") == "input_json_delta"]

    assert len(inputs) > 2
    assert json.loads("".join(inputs)) == {"a": 2, "b": [1, 2]}
    with api(says("I add. ", *pieces)).messages.stream(**ASK, tools=TOOLS) as stream:
        assert stream.get_final_message().content[1].input == {"a": 2, "b": [1, 2]}


def test_a_call_that_is_cut_is_no_call(api):
    cut = says(WRITTEN[:50], finish_reason=FinishReason.LENGTH)
    made = api(cut).messages.create(**ASK, tools=TOOLS)

    assert made.stop_reason == "max_tokens"
    assert [block.type for block in made.content] == ["text"]
    assert dict(events(post(api(cut), tools=TOOLS, stream=True)))["message_delta"]["delta"] == {
        "stop_reason": "max_tokens",
        "stop_sequence": None,
    }


# Streams


def test_a_stream_has_anthropics_events_in_order(api):
    response = post(api(says("Hel", "lo", cached_tokens=1)), stream=True)
    sent = events(response)

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [name for name, _ in sent] == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(data["type"] == name for name, data in sent)
    data = dict(sent)
    assert data["message_start"]["message"]["content"] == []
    assert data["message_start"]["message"]["usage"]["input_tokens"] == 3
    assert data["message_delta"]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert data["message_delta"]["usage"]["output_tokens"] == 5
    assert data["message_delta"]["usage"]["cache_read_input_tokens"] == 1


@pytest.mark.parametrize(
    "updates",
    [
        says("Hel", "lo"),
        says(*THOUGHT),
        says("", finish_reason=FinishReason.LENGTH),
        calling(),
        calling("".join(THOUGHT), cached_tokens=2),
        says("\n", " 4", stopped_by="#"),
    ],
)
def test_the_client_makes_the_same_message_of_a_stream(api, updates):
    whole = api(updates).messages.create(**ASK)
    with api(updates).messages.stream(**ASK) as stream:
        final = stream.get_final_message()

    def plain(message):
        return msgspec.json.decode(message.model_dump_json(exclude={"id", "parsed_output"}))

    expected, joined = plain(whole), plain(final)
    for block in joined["content"]:
        block.pop("parsed_output", None)
    assert joined == expected


def test_each_event_is_of_the_clients_types(api):
    known = TypeAdapter(RawMessageStreamEvent)
    for name, data in events(post(api(calling("".join(THOUGHT))), stream=True)):
        if name != "ping":
            known.validate_python(data, strict=True)


def test_a_stream_that_fails_ends_with_an_error(api):
    error = InvalidActionError("no", mod="m", event="Sampled", step=0)
    updates = [Started(prompt_tokens=3), TextDelta(text="Hel"), Failed(error=error)]
    *_, (name, data) = events(post(api(updates), stream=True))

    assert name == data["type"] == "error"
    assert data["error"]["type"] == "invalid_request_error"
    assert (data["error"]["message"], data["error"]["mod"]) == ("no", "m")
    with pytest.raises(Exception, match="no"), api(updates).messages.stream(**ASK) as stream:
        stream.until_done()


def test_what_mods_did_is_in_the_response(api):
    reports = (ModReport(mod="greeting", step=0, data={"a": 1}),)
    updates = says("Hi", forced_tokens=2, reports=reports)
    expected = {
        "forced_tokens": 2,
        "backtracked_tokens": 0,
        "reports": [{"mod": "greeting", "step": 0, "data": {"a": 1}}],
    }

    assert post(api(updates), model="fake/greeting").json()["concordance"] == expected
    sent = dict(events(post(api(updates), mods=["greeting"], stream=True)))
    assert sent["message_delta"]["concordance"] == expected
    assert "concordance" not in post(api(updates)).json()


# Pings


def test_pings_keep_a_stream_and_the_client_ignores_them(api, monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.02)
    monkeypatch.setattr(updates, "PATIENCE_S", 0.01)
    slow = [0.1, Started(prompt_tokens=3), TextDelta(text="Hel"), 0.1, TextDelta(text="lo")]
    client = api([*slow, completed("Hello")])
    names = [name for name, _ in events(post(client, stream=True))]

    first = names.index("message_start")
    assert set(names[:first]) == {"ping"}
    assert "ping" in names[names.index("content_block_start") : names.index("content_block_stop")]
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_text() == "Hello"


def test_progress_and_control_are_sent_in_pings(api):
    progress = PrefillProgress(total=9, cache=1, processed=5, time_ms=2)
    control = ControlDelta(commands=({"type": "pause", "step": 1}, {"type": "resume", "step": 1}))
    said = [progress, Started(prompt_tokens=3), TextDelta(text="Hel"), control]
    client = api([*said, TextDelta(text="lo"), completed("Hello")])
    sent = events(post(client, stream=True, return_progress=True))
    about = [data["concordance"] for name, data in sent if name == "ping" and len(data) > 1]

    assert client.engine.requests[0].show_progress
    assert about[0]["progress"]["processed"] == 5
    assert about[1:] == [{"control": command} for command in control.commands]
    with client.messages.stream(**ASK) as stream:
        assert stream.get_final_text() == "Hello"
