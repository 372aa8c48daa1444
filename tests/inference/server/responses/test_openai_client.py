"""OpenAI's client with `/v1/responses`: create, stream, parse, tools, stored responses, errors."""

import json

import openai
import pydantic
import pytest
from concordance_inference.generation import Failed, Started, TextDelta
from concordance_sdk import FinishReason
from concordance_shared import InvalidActionError
from fake_engine import FakeEngine, says

CALLED = '<tool_call>\n{"name": "look_up", "arguments": {"name": "tides"}}\n</tool_call>'


class Article(pydantic.BaseModel):
    name: str


TOOL = {
    "type": "function",
    "name": "look_up",
    "parameters": {**Article.model_json_schema(), "additionalProperties": False},
    "strict": True,
}
ASK = {"model": "fake", "input": "hi"}


@pytest.fixture(name="api")
def _api(serve):
    """OpenAI's client of an application, and the engine."""
    engine = FakeEngine()
    with serve(engine) as http:
        url = f"{http.base_url}/v1"
        yield openai.OpenAI(base_url=url, api_key="k", http_client=http, max_retries=0), engine


def test_a_response_is_created_and_continued(api):
    client, engine = api
    first = client.responses.create(**ASK, instructions="Be brief.")
    second = client.responses.create(model="fake", input="more", previous_response_id=first.id)

    assert (first.output_text, first.status) == ("Hello", "completed")
    assert second.previous_response_id == first.id
    assert first.usage.total_tokens == 8
    assert [m.text for m in engine.requests[-1].conversation.messages] == ["hi", "Hello", "more"]


def test_output_items_are_accepted_as_input(api):
    client, engine = api
    engine.updates = says("<think>hm</think>", "I look. ", CALLED)
    first = client.responses.create(**ASK, tools=[TOOL])
    call = first.output[-1]
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    for sent in (first.output, [item.to_dict() for item in first.output]):
        items = [{"role": "user", "content": "hi"}, *sent, output]
        client.responses.create(model="fake", input=items, tools=[TOOL])
        _, message, tool = engine.requests[-1].conversation.messages
        assert (message.reasoning_content, message.text) == ("hm", "I look.")
        assert message.tool_calls[0].id == tool.tool_call_id == call.call_id


def test_the_stream_helper_returns_the_response(api):
    client, engine = api
    engine.updates = says("<think>hm</think>", "I look. ", CALLED)
    with client.responses.stream(**ASK, tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()

    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output[2].parsed_arguments == {"name": "tides"}


def test_events_of_a_plain_stream_are_typed(api):
    client, _ = api
    events = list(client.responses.create(**ASK, stream=True))

    assert all(isinstance(event, openai.BaseModel) for event in events)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert deltas == ["Hel", "lo"]


def test_parse_returns_an_object_of_a_class(api):
    client, engine = api
    engine.updates = says(json.dumps({"name": "tides"}))
    parsed = client.responses.parse(**ASK, text_format=Article)
    with client.responses.stream(**ASK, text_format=Article) as stream:
        streamed = stream.get_final_response()

    assert parsed.output_parsed == streamed.output_parsed == Article(name="tides")
    assert engine.requests[0].conversation.schemas.response_format.json_schema.name == "Article"


def test_a_stored_response_is_retrieved_listed_and_deleted(api):
    client, _ = api
    first = client.responses.create(**ASK)
    items = client.responses.input_items.list(first.id, limit=1)

    assert client.responses.retrieve(first.id) == first
    assert [item.content[0].text for item in items] == ["hi"]
    assert client.responses.delete(first.id) is None
    with pytest.raises(openai.NotFoundError, match="was deleted"):
        client.responses.retrieve(first.id)


def test_a_list_of_input_items_is_paged_by_the_client(api):
    client, _ = api
    items = [{"role": "user", "content": str(i)} for i in range(7)]
    response = client.responses.create(model="fake", input=items)
    listed = client.responses.input_items.list(response.id, limit=3, order="asc")

    assert [item.content[0].text for item in listed] == list("0123456")


def test_a_response_in_the_background_is_polled_followed_and_cancelled(api):
    client, engine = api
    engine.updates = [Started(prompt_tokens=3), TextDelta(text="Hel"), 60.0]
    running = client.responses.create(**ASK, background=True)
    assert running.status in ("queued", "in_progress")
    cancelled = client.responses.cancel(running.id)
    assert cancelled.status == "cancelled"
    engine.updates = says("Hel", "lo")
    events = list(client.responses.create(**ASK, background=True, stream=True))
    response_id = events[0].response.id
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=3))

    assert [event.type for event in rest] == [event.type for event in events[4:]]
    assert client.responses.retrieve(response_id).output_text == "Hello"


def test_input_tokens_are_counted(api):
    client, _ = api

    assert client.responses.input_tokens.count(**ASK).input_tokens == 2


def test_errors_have_their_param_and_code(api):
    client, _ = api
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="fake", input=[{"role": "user", "content": 5}])
    assert refused.value.param == "input[0].content"
    with pytest.raises(openai.BadRequestError) as missing:
        client.responses.create(**ASK, previous_response_id="resp_0")
    assert missing.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="other", input="hi")


def test_a_failed_stream_ends_with_the_failed_response(api):
    client, engine = api
    error = InvalidActionError("mod 'm' failed", mod="m")
    engine.updates = [Started(prompt_tokens=3), TextDelta(text="Hel"), Failed(error=error)]
    *_, event, last = client.responses.create(**ASK, stream=True)

    assert (event.type, event.message) == ("error", "mod 'm' failed")
    assert (last.type, last.response.error.message) == ("response.failed", "mod 'm' failed")


def test_an_incomplete_stream_says_so(api):
    client, engine = api
    engine.updates = says("Hel", finish_reason=FinishReason.LENGTH)
    *_, last = client.responses.create(**ASK, stream=True)

    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
