"""What a stream must have so that no known client breaks: one test for each known breakage.

Each names the client that breaks without it.
"""

import json

import pytest
from concordance_inference.generation import Failed, Started, TextDelta
from concordance_shared import EngineError
from fake_engine import FakeEngine, says

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
}
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def streamed(serve, updates=None, **fields):
    """The events of a stream, in order, without their framing."""
    engine = FakeEngine(says("Hel", "lo") if updates is None else updates)
    response = serve(engine).post("/v1/chat/completions", json={**ASK, **fields})
    assert response.status_code == 200, response.text
    return response.text.split("\n\n")


def chunks_of(serve, updates=None, **fields):
    *events, done, rest = streamed(serve, updates, **fields)
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


@pytest.fixture(name="calls")
def _calls(serve):
    """The chunks of a stream with a tool call that arrives in pieces."""
    pieces = [CALL[i : i + 5] for i in range(0, len(CALL), 5)]
    chunks = chunks_of(serve, says(*pieces), tools=[WEATHER])
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"]]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    assert calls
    return chunks, calls


def test_continuations_of_a_tool_call_have_no_type_id_or_name(calls):
    """openai-python: AssertionError on a null type; LangChain, pydantic-ai: joined ids."""
    _, (first, *rest) = calls

    assert (first["type"], first["function"]["name"]) == ("function", "get_weather")
    assert first["id"].startswith("call_")
    assert rest
    for delta in rest:
        assert delta.keys() == {"index", "function"}
        assert delta["function"].keys() == {"arguments"}


def test_every_delta_of_a_tool_call_has_its_index(calls):
    """openai-python: TypeError; openai-node: no calls; @ai-sdk/openai: TypeValidationError."""
    assert {call["index"] for call in calls[1]} == {0}


def test_arguments_are_text_that_joins_to_json(calls):
    """json.loads of users fails on an object."""
    texts = [call["function"]["arguments"] for call in calls[1]]

    assert all(isinstance(text, str) for text in texts)
    assert json.loads("".join(texts)) == {"city": "Paris"}


def test_a_stream_with_tool_calls_ends_with_the_reason_tool_calls(calls):
    """Agents that look at the reason run no tool otherwise."""
    assert calls[0][-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_the_first_delta_of_a_choice_has_the_role_and_no_later_one(serve):
    """openai-node: missing role; @ai-sdk/openai: TypeValidationError on an empty role."""
    first, *rest = (chunk["choices"][0]["delta"] for chunk in chunks_of(serve))

    assert first == {"role": "assistant", "content": ""}
    assert all("role" not in delta for delta in rest)


def test_exactly_one_chunk_of_a_choice_has_a_finish_reason_and_an_empty_delta(serve):
    """openai-node: error without one; LiteLLM invents one."""
    ends = [c["choices"][0] for c in chunks_of(serve) if c["choices"][0]["finish_reason"]]

    assert [(end["finish_reason"], end["delta"]) for end in ends] == [("stop", {})]


@pytest.mark.parametrize("fields", [{}, {"stream_options": {"include_usage": True}}])
def test_every_choice_has_all_keys_also_those_that_are_null(serve, fields):
    for chunk in chunks_of(serve, **fields):
        assert {"id", "object", "created", "model", "choices"} <= chunk.keys()
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            assert {"index", "delta", "logprobs", "finish_reason"} <= choice.keys()


def test_usage_is_null_but_in_a_last_chunk_without_choices(serve):
    *others, last = chunks_of(serve, stream_options={"include_usage": True})

    assert {chunk["usage"] for chunk in others} == {None}
    assert last["choices"] == []
    usage = last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


def test_without_include_usage_no_chunk_has_a_usage_key(serve):
    assert all("usage" not in chunk for chunk in chunks_of(serve))


def test_all_chunks_have_one_id_and_one_time(serve):
    found = {(chunk["id"], chunk["created"]) for chunk in chunks_of(serve)}

    ((request_id, created),) = found
    assert request_id.startswith("chatcmpl-")
    assert isinstance(created, int)


def test_a_failure_is_an_error_event_and_never_a_bare_end(serve):
    """Python clients take a stream that is cut off for a complete answer."""
    failed = [Started(prompt_tokens=1), TextDelta(text="a"), Failed(error=EngineError("kaput"))]
    *_, last, done, rest = streamed(serve, failed)

    assert (done, rest) == ("data: [DONE]", "")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error.keys() >= {"message", "type", "param", "code"}


def test_events_have_no_event_lines_and_each_is_one_line_of_json(serve):
    for event in streamed(serve)[:-1]:
        assert event.startswith("data: ")
        assert "\n" not in event


def test_the_headers_of_a_stream_keep_proxies_from_buffering_it(serve):
    headers = serve().post("/v1/chat/completions", json=ASK).headers

    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
