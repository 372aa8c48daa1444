"""The field `loop_detection` of requests, and what responses say about loops."""

import json

import pytest
from concordance_inference.loop_detection import FoundLoop, LoopDetection
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_sdk import FinishReason
from fake_engine import FakeChat, FakeEngine, says
from sandboxes import mod_catalog
from starlette.testclient import TestClient

HI = [{"role": "user", "content": "hi"}]
PATHS = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": HI, "max_tokens": 50},
}
LOOP = FoundLoop(begin=3, period=2, repeats=81, outcome="ended", tries=1)
REWOUND = FoundLoop(begin=3, period=2, repeats=81, outcome="rewound", tries=1)


def asked(client, engine, path, **fields):
    response = client.post(path, json={"model": "fake", **PATHS[path], **fields})
    assert response.status_code == 200, response.text
    return engine.requests[-1].loop_detection


@pytest.fixture(name="client_of")
def _client_of():
    def client_of(engine, **fields):
        context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog(), **fields)
        return TestClient(create_app(context), base_url="http://127.0.0.1:8000")

    return client_of


@pytest.mark.parametrize("path", PATHS)
def test_request_has_a_mode_or_all_of_it(serve, path):
    engine = FakeEngine()
    client = serve(engine)
    whole = {"mode": "full", "action": "rewind", "max_tries": 3}
    assert asked(client, engine, path) == LoopDetection(mode="cheap")
    assert asked(client, engine, path, loop_detection=None) == LoopDetection(mode="cheap")
    assert asked(client, engine, path, loop_detection="full") == LoopDetection(mode="full")
    assert asked(client, engine, path, loop_detection=whole) == LoopDetection(**whole)
    assert asked(client, engine, path, ignore_eos=True).mode == "off"


@pytest.mark.parametrize("path", PATHS)
def test_server_has_a_default(client_of, path):
    engine = FakeEngine()
    client = client_of(engine, loop_detection=LoopDetection(mode="off"))
    assert asked(client, engine, path).mode == "off"
    assert asked(client, engine, path, loop_detection="cheap").mode == "cheap"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ("most", "loop_detection"),
        (True, "loop_detection"),
        ({"mode": "most"}, "loop_detection.mode"),
        ({"action": "stop"}, "loop_detection.action"),
        ({"max_tries": 0}, "loop_detection.max_tries"),
        ({"max_tries": 17}, "loop_detection.max_tries"),
        ({"tries": 1}, "loop_detection"),
    ],
)
def test_wrong_values_are_refused_by_name(client, path, wrong, param):
    body = {"model": "fake", **PATHS[path], "loop_detection": wrong}
    response = client.post(path, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert "loop_detection" in error["message"]
    assert error.get("param", param).startswith(param)


def ends(serve, path, *loops, reason=FinishReason.LENGTH):
    """The body of a whole response, and the last part of a stream that has `concordance`."""
    for streams in (False, True):
        client = serve(FakeEngine(says("ab", "ab", finish_reason=reason, loops=loops)))
        usage = {} if path[4:] == "messages" else {"stream_options": {"include_usage": True}}
        fields = {"stream": True, **usage} if streams else {}
        response = client.post(path, json={"model": "fake", **PATHS[path], **fields})
        if not streams:
            yield response.json()
            continue
        events = [line[6:] for line in response.text.split("\n") if line.startswith("data: {")]
        parts = [json.loads(event) for event in events]
        parts = [part.get("response", part) for part in parts]
        yield next(part for part in reversed(parts) if about(part))


def about(body):
    """The field `concordance` of a response, or of its choice in plain completions."""
    choices = body.get("choices") or [{}]
    return body.get("concordance") or choices[0].get("concordance")


@pytest.mark.parametrize("path", PATHS)
def test_response_names_the_loops(serve, path):
    expected = [
        {"begin": 3, "period": 2, "repeats": 81, "outcome": "rewound", "tries": 1},
        {"begin": 3, "period": 2, "repeats": 81, "outcome": "ended", "tries": 1},
    ]
    for body in ends(serve, path, REWOUND, LOOP):
        assert about(body)["loops"] == expected


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(("loops", "reason"), [((LOOP,), "loop"), ((REWOUND,), None), ((), None)])
def test_stop_reason_is_loop_only_if_a_loop_ended_the_completion(serve, path, loops, reason):
    client = serve(FakeEngine(says("ab", finish_reason=FinishReason.LENGTH, loops=loops)))
    choice = client.post(path, json={"model": "fake", **PATHS[path]}).json()["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice.get("stop_reason") == reason


def test_other_apis_report_a_loop_as_they_report_a_cut(serve):
    engine = FakeEngine(says("ab", finish_reason=FinishReason.LENGTH, loops=(LOOP,)))
    client = serve(engine)
    body = client.post("/v1/responses", json={"model": "fake", "input": "hi"}).json()
    assert body["incomplete_details"] == {"reason": "max_output_tokens"}
    path = "/v1/messages"
    body = client.post(path, json={"model": "fake", **PATHS[path]}).json()
    assert body["stop_reason"] == "max_tokens"
