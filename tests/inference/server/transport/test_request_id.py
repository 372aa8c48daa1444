"""The id of a request, in its response and in what the engine runs."""

import pytest
from concordance_inference.server.transport.request_id import current_request_id
from fake_engine import FakeEngine

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def test_every_response_has_a_request_id_of_its_own(client):
    ids = [client.get("/v1/models").headers["x-request-id"] for _ in range(2)]

    assert len({*ids, ""}) == 3


@pytest.mark.parametrize(
    ("headers", "status"), [({"host": "evil.example"}, 403), ({"host": "localhost"}, 404)]
)
def test_a_refused_request_has_a_request_id_too(client, headers, status):
    response = client.get("/nowhere", headers=headers)

    assert (response.status_code, bool(response.headers["x-request-id"])) == (status, True)


@pytest.mark.parametrize("stream", [True, False])
def test_the_engine_runs_a_chat_request_under_the_id_of_its_response(serve, stream):
    engine = FakeEngine()
    response = serve(engine).post("/v1/chat/completions", json={**ASK, "stream": stream})
    request_id = response.headers["x-request-id"]

    assert engine.requests[0].request_id == request_id
    assert f"chatcmpl-{request_id}" in response.text


def test_generations_of_one_request_are_numbered(serve):
    engine = FakeEngine()
    response = serve(engine).post("/v1/completions", json={"model": "fake", "prompt": ["a", "b"]})
    request_id = response.headers["x-request-id"]

    assert [r.request_id for r in engine.requests] == [request_id, f"{request_id} 1"]


def test_code_that_runs_for_no_request_has_no_request_id():
    assert current_request_id() is None


@pytest.mark.parametrize(
    "chosen", ["a", "Abc-1._x", "x" * 512, "Root=1-67891233-abc;Sampled=1", "a/b", "a:1", "-?#%"]
)
def test_a_client_chooses_the_id_of_its_request(client, chosen):
    response = client.post("/v1/chat/completions", json=ASK, headers={"X-Request-Id": chosen})

    assert response.headers["x-request-id"] == chosen
    assert response.json()["id"] == f"chatcmpl-{chosen}"


@pytest.mark.parametrize("chosen", ["a b", "a\tb", "x" * 513, "\xe9".encode()])
def test_a_malformed_id_is_refused_by_name(client, chosen):
    response = client.get("/v1/models", headers={"X-Request-Id": chosen})

    assert response.status_code == 400
    assert response.json()["error"]["param"] == "X-Request-Id"
    assert response.headers["x-request-id"] not in (chosen, "")


def test_an_empty_id_is_none(client):
    response = client.get("/v1/models", headers={"X-Request-Id": ""})

    assert (response.status_code, bool(response.headers["x-request-id"])) == (200, True)
