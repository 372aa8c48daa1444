"""Errors on the routes of Anthropic's API, as its official client raises them."""

import anthropic
import pytest
from anthropic.types import ErrorResponse
from concordance_inference.engine.scheduling.overload import waited_too_long
from concordance_inference.generation import Failed
from concordance_inference.server.limits import Limits
from concordance_shared import (
    EngineError,
    EngineOverloadedError,
    EngineStoppedError,
    InvalidActionError,
)

USER = {"role": "user", "content": "hi"}
ASK = {"model": "fake", "max_tokens": 5, "messages": [USER]}


@pytest.mark.parametrize(
    ("error", "raised", "kind"),
    [
        (EngineOverloadedError("busy"), anthropic.RateLimitError, "rate_limit_error"),
        (EngineStoppedError("gone"), anthropic.OverloadedError, "overloaded_error"),
        (waited_too_long(60, 7), anthropic.OverloadedError, "overloaded_error"),
        (EngineError("broken"), anthropic.InternalServerError, "api_error"),
        (
            InvalidActionError("no", mod="m", event="Sampled", step=0),
            anthropic.UnprocessableEntityError,
            "invalid_request_error",
        ),
        (RuntimeError("bug"), anthropic.InternalServerError, "api_error"),
    ],
)
def test_the_client_raises_the_class_of_the_error(api, error, raised, kind):
    updates = [error] if isinstance(error, RuntimeError) else [Failed(error=error)]
    with pytest.raises(raised) as caught:
        api(updates).messages.create(**ASK)

    assert caught.value.type == kind
    assert caught.value.request_id == caught.value.body["request_id"]
    ErrorResponse.model_validate(caught.value.body, strict=True)


@pytest.mark.parametrize(
    ("fields", "raised"),
    [
        ({"model": "claude"}, anthropic.NotFoundError),
        ({"max_tokens": -1}, anthropic.BadRequestError),
        ({"messages": [{"role": "user", "content": "too long"}]}, anthropic.BadRequestError),
    ],
)
def test_a_request_that_is_refused_raises_the_class_of_its_status(api, fields, raised):
    for path in ("create", "count_tokens"):
        if path == "count_tokens" and "model" not in fields:
            continue
        asked = {**ASK, **fields}
        asked = asked if path == "create" else {k: asked[k] for k in ("model", "messages")}
        with pytest.raises(raised) as caught:
            getattr(api().messages, path)(**asked)
        ErrorResponse.model_validate(caught.value.body, strict=True)


def test_a_body_that_is_too_large_is_refused(api):
    with pytest.raises(anthropic.ContentTooLargeError) as caught:
        api().messages.create(**{**ASK, "system": "a" * Limits().body_bytes})

    assert caught.value.body["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/messages/batches", 404),
        ("POST", "/v1/messages", 403),
    ],
)
def test_routes_and_refusals_before_them_have_the_same_shape(api, method, path, status):
    headers = {"Host": "example.com"} if status == 403 else {}
    response = api().http.request(method, path, json=ASK, headers=headers)

    assert response.status_code == status
    assert response.headers["request-id"] == response.json()["request_id"]
    ErrorResponse.model_validate(response.json(), strict=True)


def test_a_retry_header_is_kept(api):
    updates = [Failed(error=EngineOverloadedError("busy"))]

    assert api(updates).http.post("/v1/messages", json=ASK).headers["retry-after"] == "1"


def test_other_routes_keep_openais_shape(api):
    http = api().http

    assert set(http.post("/v1/chat/completions", json={}).json()) == {"error"}
    assert set(http.get("/v1/messagesx").json()) == {"error"}


def test_a_response_has_the_id_under_both_names(api):
    response = api().http.post("/v1/messages", json=ASK)

    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert response.json()["id"] == f"msg_{response.headers['request-id']}"
