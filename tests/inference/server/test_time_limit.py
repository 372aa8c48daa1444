"""Requests that take longer than the server lets them."""

import asyncio
import json

import pytest
from concordance_inference.generation import Started, TextDelta
from concordance_inference.server.limits import Limits
from concordance_sdk import FinishReason
from fake_engine import FakeControl, FakeEngine, completed
from openai import APIStatusError, OpenAI

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


class Control(FakeControl):
    """Cancels, as an engine does: the request ends with what it has."""

    def __init__(self):
        self.cancelled = []

    def cancel(self, request_id):
        self.cancelled.append(request_id)


class EndlessEngine(FakeEngine):
    """Generates until a request is cancelled."""

    def __init__(self):
        super().__init__()
        self.control = Control()

    async def generate(self, request):
        yield Started(prompt_tokens=3)
        text = ""
        while request.request_id not in self.control.cancelled:
            await asyncio.sleep(0.01)
            text += "a"
            if request.stream:
                yield TextDelta(text="a")
        yield completed(text, finish_reason=FinishReason.CANCELLED)


def test_a_response_that_takes_too_long_is_504_without_a_retry(serve):
    engine = EndlessEngine()
    response = serve(engine, limits=Limits(request_s=0.1)).post("/v1/chat/completions", json=ASK)

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (504, "request_time_limit")
    assert response.headers["x-should-retry"] == "false"
    assert "0.1 s" in error["message"]
    assert len(engine.control.cancelled) == 1


@pytest.mark.parametrize(
    ("path", "last"),
    [("/v1/chat/completions", "data: [DONE]"), ("/v1/messages", None), ("/v1/responses", None)],
)
def test_a_stream_that_takes_too_long_ends_with_an_error_event(serve, path, last):
    body = {**ASK, "stream": True, "max_tokens": 9}
    if path == "/v1/responses":
        body = {"model": "fake", "input": "hi", "stream": True}
    response = serve(EndlessEngine(), limits=Limits(request_s=0.1)).post(path, json=body)

    assert response.status_code == 200
    assert '"a' in response.text
    assert "took longer than 0.1 s" in response.text
    assert last is None or response.text.strip().endswith(last)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_within_the_limit_is_not_affected(serve, stream):
    client = serve(FakeEngine(), limits=Limits(request_s=60.0))
    response = client.post("/v1/chat/completions", json={**ASK, "stream": stream})

    assert response.status_code == 200
    assert "time_limit" not in response.text
    assert client.get("/v1/requests").json()["data"] == []


def test_the_official_client_raises_the_error_once(serve):
    engine = EndlessEngine()
    client = OpenAI(
        base_url="http://127.0.0.1:8000/v1",
        api_key="none",
        http_client=serve(engine, limits=Limits(request_s=0.1)),
    )
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(**ASK)

    assert (caught.value.status_code, caught.value.code) == (504, "request_time_limit")
    assert len(engine.control.cancelled) == 1
    assert json.loads(caught.value.response.text)["error"]["type"] == "server_error"
