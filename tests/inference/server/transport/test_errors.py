"""The table of errors: status, type, code and headers, before and after the first byte."""

import json

import pytest
from concordance_inference.engine.scheduling.overload import waited_too_long
from concordance_inference.generation import Failed, Started, TextDelta
from concordance_inference.server.openai.chat_response import ChatResponse
from concordance_inference.server.transport.errors import error_headers
from concordance_shared import (
    ConflictError,
    ContextLengthError,
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
    ModelLoadError,
    ModRaisedError,
    NumericalError,
    UnknownModelError,
)
from fake_engine import FakeEngine, says
from openai import OpenAI

CHAT = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
JSON = {"content-type": "application/json"}


def error_of(response):
    """The error of a response, which has OpenAI's shape."""
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert isinstance(error["message"], str)
    assert isinstance(error["code"], str)
    return error


@pytest.mark.parametrize(
    ("raised", "status", "type_", "code", "retry"),
    [
        (ContextLengthError("long"), 400, "invalid_request_error", "context_length_exceeded", "no"),
        (UnknownModelError("no"), 404, "not_found_error", "model_not_found", "no"),
        (ConflictError("there"), 409, "conflict_error", "conflict", "no"),
        (ModRaisedError("mod"), 422, "mod_error", "mod_raised", "no"),
        (EngineOverloadedError("full"), 429, "rate_limit_error", "rate_limit_exceeded", "later"),
        (waited_too_long(60, 7), 503, "overloaded", "queue_timeout", "later"),
        (EngineError("step"), 500, "server_error", "engine_error", "yes"),
        (NumericalError("nan"), 500, "server_error", "logits_not_finite", "no"),
        (ModelLoadError("none"), 500, "server_error", "model_load_failed", "no"),
        (EngineStoppedError("gone"), 503, "overloaded", "engine_stopped", "later"),
        (KeyError("bug"), 500, "server_error", "internal_error", "no"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_byte_has_its_status(
    serve, raised, status, type_, code, retry, stream
):
    response = serve(FakeEngine([raised])).post(CHAT, json={**ASK, "stream": stream})

    error = error_of(response)
    assert response.status_code == status
    assert (error["type"], error["code"]) == (type_, code)
    assert response.headers.get("x-should-retry") == ("false" if retry == "no" else None)
    assert ("retry-after" in response.headers) == (retry == "later")


def test_retry_after_is_the_time_that_the_error_names_rounded_up():
    error = EngineStoppedError("restarting")
    error.retry_after_s = 3.2

    assert error_headers(error) == {"Retry-After": "4"}


@pytest.mark.parametrize("failed", [EngineError("kaput"), ModRaisedError("kaput")])
def test_an_error_after_the_first_byte_is_an_event_then_the_stream_ends(serve, failed):
    engine = FakeEngine([Started(prompt_tokens=1), TextDelta(text="a"), Failed(error=failed)])
    response = serve(engine).post(CHAT, json={**ASK, "stream": True})
    *_, event, done, last = response.text.split("\n\n")

    assert response.status_code == 200
    assert json.loads(event.removeprefix("data: "))["error"]["message"] == "kaput"
    assert (done, last) == ("data: [DONE]", "")


def test_a_bug_while_a_stream_is_written_is_an_event_too(serve, monkeypatch, caplog):
    plain = ChatResponse.events
    calls = iter(range(99))

    def events(self, numbered):
        if next(calls) == 2:
            raise KeyError("bug")
        return plain(self, numbered)

    monkeypatch.setattr(ChatResponse, "events", events)
    response = serve(FakeEngine(says("a", "b", "c"))).post(CHAT, json={**ASK, "stream": True})

    assert "KeyError; its log has the traceback" in response.text
    assert response.text.endswith("data: [DONE]\n\n")
    assert "KeyError: 'bug'" in caplog.text


def test_a_bug_in_a_handler_is_a_500_as_json_and_logged_once(serve, monkeypatch, caplog):
    monkeypatch.setattr(ChatResponse, "whole", lambda self, ends: 1 / 0)
    response = serve().post(CHAT, json=ASK)

    error = error_of(response)
    assert (response.status_code, error["type"], error["code"]) == (
        500,
        "server_error",
        "internal_error",
    )
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-request-id"]
    assert caplog.text.count("ZeroDivisionError: ") == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "type_", "code"),
    [
        ("GET", "/nowhere", 404, "not_found_error", "route_not_found"),
        ("POST", "/v1/nowhere", 404, "not_found_error", "route_not_found"),
        ("POST", "/v1/chat/completions/", 404, "not_found_error", "route_not_found"),
        ("GET", CHAT, 405, "invalid_request_error", "method_not_allowed"),
        ("PUT", "/v1/models", 405, "invalid_request_error", "method_not_allowed"),
        ("PUT", "/v1/mods", 405, "invalid_request_error", "method_not_allowed"),
        ("BREW", "/healthz", 405, "invalid_request_error", "method_not_allowed"),
        ("OPTIONS", CHAT, 405, "invalid_request_error", "method_not_allowed"),
        ("GET", "/v1/models/nowhere", 404, "not_found_error", "model_not_found"),
    ],
)
def test_an_unknown_route_or_method_gets_the_same_json(client, method, path, status, type_, code):
    response = client.request(method, path, headers=JSON)

    error = error_of(response)
    assert (response.status_code, error["type"], error["code"]) == (status, type_, code)
    if status == 405:
        assert response.headers["allow"] in error["message"]


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/mods", "/v1/tokenize"])
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (JSON, b"", 400),
        (JSON, b"not json", 400),
        (JSON, b"[]", 400),
        (JSON, b"null", 400),
        (JSON, b'{"model": "\xff"}', 400),
        (JSON, "{}".encode("utf-16"), 400),
        (JSON, b"[" * 100_000, 400),
        (JSON, b'{"model": 1' + b" " * (5 << 20), 413),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({}, b"{}", 415),
        ({**JSON, "content-encoding": "gzip"}, b"{}", 415),
    ],
)
def test_a_body_that_cannot_be_read_is_an_error_of_the_client(client, path, headers, body, status):
    response = client.post(path, content=body, headers=headers)

    assert response.status_code == status
    assert error_of(response)["type"] == "invalid_request_error"
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("raised", "attempts"),
    [(NumericalError("nan"), 1), (ConflictError("c"), 1), (EngineError("e"), 3)],
)
def test_the_official_client_retries_only_what_can_succeed(serve, raised, attempts):
    engine = FakeEngine([raised])
    client = OpenAI(base_url="http://127.0.0.1/v1", api_key="x", http_client=serve(engine))
    with pytest.raises(Exception, match=str(raised)):
        client.chat.completions.create(**ASK)

    assert len(engine.requests) == attempts


def test_a_method_that_is_not_allowed_names_those_of_all_routes_with_its_path(client):
    assert client.put("/v1/mods", headers=JSON).headers["allow"] == "GET, HEAD, POST"
