"""The line of each request in the log."""

import asyncio
import logging
import threading
import time

import pytest
from concordance_inference.generation import Failed, Started
from concordance_sdk import FinishReason
from concordance_shared import EngineError
from fake_engine import FakeEngine, completed, says

ASK = {"model": "fake", "messages": [{"role": "user", "content": "a secret"}]}
CHAT = "/v1/chat/completions"
LOGGER = "concordance_inference.server.operations.request_log"


@pytest.fixture(name="lines")
def _lines(caplog):
    """The request lines so far, and their fields."""
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    return lambda: [(r.getMessage(), r.fields) for r in caplog.records if r.name == LOGGER]


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_has_one_line_with_its_tokens_and_times(serve, lines, stream):
    end = {"cached_tokens": 2, "forced_tokens": 1, "backtracked_tokens": 3}
    engine = FakeEngine(says("Hel", "lo", finish_reason=FinishReason.LENGTH, **end))
    response = serve(engine).post(CHAT, json={**ASK, "model": "fake/greeting", "stream": stream})
    ((line, fields),) = lines()

    assert line.startswith("POST /v1/chat/completions 200 length with greeting: ")
    assert "3 prompt tokens (2 cached), 5 completion tokens (1 forced), 3 backtracked" in line
    assert fields.pop("duration_s") >= fields.pop("ttft_s") >= 0
    assert fields.pop("tokens_per_s") > 0
    assert fields == {
        "request_id": response.headers["x-request-id"],
        "method": "POST",
        "route": CHAT,
        "status": 200,
        "model": "fake",
        "mods": ("greeting",),
        "stream": stream,
        "prompt_tokens": 3,
        "cached_tokens": 2,
        "completion_tokens": 5,
        "forced_tokens": 1,
        "backtracked_tokens": 3,
        "finish_reason": "length",
    }


def test_a_refused_request_has_a_line_with_the_code_of_its_error(client, lines):
    client.post(CHAT, json={**ASK, "temperature": 9})
    ((line, fields),) = lines()

    assert line.startswith("POST /v1/chat/completions 400 invalid_value: ")
    assert (fields["status"], fields["error"]) == (400, "invalid_value")


def test_a_stream_that_fails_has_a_line_with_the_code_of_its_error(serve, lines):
    engine = FakeEngine([*says("a")[:2], Failed(error=EngineError("kaput"))])
    serve(engine).post(CHAT, json={**ASK, "stream": True})
    ((line, fields),) = lines()

    assert "200 engine_error" in line
    assert "ttft_s" in fields


def test_a_response_in_the_background_has_its_line_when_the_generation_ends(serve, lines):
    may_end = threading.Event()

    class Engine(FakeEngine):
        async def generate(self, request):
            await asyncio.to_thread(may_end.wait)
            async for update in super().generate(request):
                yield update

    with serve(Engine(says("Hel", "lo", forced_tokens=1))) as client:
        client.post("/v1/responses", json={"model": "fake", "input": "hi", "background": True})
        assert not lines()
        counted = client.app.state.http_metrics.requests
        assert not counted
        may_end.set()
        while not lines():
            time.sleep(0.001)
    ((line, fields),) = lines()

    assert line.startswith("POST /v1/responses 200 stop: 3 prompt tokens")
    assert (fields["completion_tokens"], fields["forced_tokens"]) == (5, 1)
    assert dict(counted) == {("POST", "/v1/responses", "200"): 1}


def test_a_response_in_the_background_that_is_cancelled_has_one_line(serve, lines):
    with serve(FakeEngine([Started(prompt_tokens=3), 60.0])) as client:
        body = {"model": "fake", "input": "hi", "background": True}
        running = client.post("/v1/responses", json=body).json()["id"]
        client.post(f"/v1/responses/{running}/cancel", json={})
        while len(lines()) < 2:
            time.sleep(0.001)

    routes = sorted(fields["route"] for _, fields in lines())
    assert routes == ["/v1/responses", "/v1/responses/{response_id}/cancel"]


def test_probes_are_logged_for_debugging_only(client, lines, caplog):
    for path in ("/healthz", "/readyz", "/health", "/metrics"):
        client.get(path)

    assert {r.levelno for r in caplog.records if r.name == LOGGER} == {logging.DEBUG}
    assert len(lines()) == 4


def test_no_line_has_text_of_a_prompt_or_a_completion(serve, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("concordance_inference.server.bodies").setLevel(logging.CRITICAL)
    serve(FakeEngine([completed("the answer")])).post(CHAT, json=ASK)

    assert "secret" not in caplog.text
    assert "answer" not in caplog.text


def test_bodies_are_logged_if_debugging_asks_for_them(client, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG, logger="concordance_inference.server.bodies")
    client.post(CHAT, json=ASK)

    assert "a secret" in caplog.text
