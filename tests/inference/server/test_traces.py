"""`/v1/traces` over an engine that records what it says."""

import asyncio
import json
import threading

import pytest
from asgi_calls import Call
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.traces.hub import TraceHub
from concordance_inference.traces.live import MAX_WAITING, Watcher
from fake_engine import FakeChat, FakeEngine
from recorded_hi import record
from sandboxes import mod_catalog
from starlette.testclient import TestClient

HI = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(name="hub")
def _hub():
    return TraceHub()


@pytest.fixture(name="api")
def _api(hub):
    engine = FakeEngine(record)
    context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog(), traces=hub)
    return TestClient(
        create_app(context), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
    )


def only(api):
    (summary,) = api.get("/v1/traces").json()["data"]
    return api.get(f"/v1/traces/{summary['id']}").json()


def test_a_request_is_not_traced_by_default(api):
    api.post("/v1/chat/completions", json=HI)

    assert api.get("/v1/traces").json() == {"object": "list", "data": []}


@pytest.mark.parametrize(("given", "level"), [(True, "tokens"), ("requests", "requests")])
def test_a_request_that_asks_for_it_is_traced(api, given, level):
    api.post("/v1/chat/completions", json=HI | {"trace": given, "temperature": 0.5})

    trace = only(api)

    assert trace["level"] == level
    assert trace["status"] == "ended"
    assert trace["path"] == "/v1/chat/completions"
    assert (trace["prompt"], trace["text"], trace["seed"]) == ("hi", "Hi", 7)
    assert trace["source"] == HI | {"trace": given, "temperature": 0.5}
    assert trace["settings"]["loop_detection"]["mode"] == "cheap"
    assert trace["parameters"]["temperature"] == 0.5
    texts = [token["text"] for token in trace["tokens"]]
    assert texts == (["H", "i"] if level == "tokens" else [])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "fake", "prompt": "hi"}),
        ("/v1/responses", {"model": "fake", "input": "hi"}),
        ("/v1/messages", HI | {"max_tokens": 5}),
        ("/v1/chat/completions", HI | {"stream": True}),
    ],
)
def test_every_api_has_the_field(api, path, body):
    assert api.post(path, json=body | {"trace": True}).status_code == 200

    assert only(api)["path"] == path


@pytest.mark.parametrize("given", ["all", 3, []])
def test_a_wrong_level_is_refused_by_name(api, given):
    got = api.post("/v1/chat/completions", json=HI | {"trace": given})

    assert got.status_code == 400
    assert got.json()["error"]["param"] == "trace"


def test_the_server_traces_all_requests_but_those_that_refuse(api, hub):
    hub.level = "requests"

    api.post("/v1/chat/completions", json=HI)
    api.post("/v1/chat/completions", json=HI | {"trace": False})

    assert only(api)["level"] == "requests"


def test_a_watcher_raises_the_level_and_gets_the_trace_while_it_grows(api, hub):
    watcher = Watcher(lambda: None)
    hub.watch(watcher)

    api.post("/v1/chat/completions", json=HI)
    hub.flush()

    messages = [json.loads(message) for message in watcher.take()[0]]
    assert [message["type"] for message in messages] == ["begin", "update", "end"]
    assert [token["text"] for token in messages[1]["tokens"]] == ["H", "i"]
    assert messages[1]["tokens"][0]["logprob"] == -0.5
    assert messages[2]["trace"]["text"] == "Hi"
    hub.watchers.remove(watcher)
    assert hub.level_of(None) == "off"


def test_a_slow_watcher_loses_the_oldest_messages_and_is_notified():
    watcher = Watcher(lambda: None)

    watcher.put([b"%d" % i for i in range(MAX_WAITING + 5)])

    messages, num_dropped = watcher.take()
    assert num_dropped == 5
    assert messages[0] == b"5"
    assert watcher.take() == ([], 0)


def test_prompts_are_left_out_where_the_server_keeps_none(api, hub):
    hub.keeps_prompts = False

    api.post("/v1/chat/completions", json=HI | {"trace": True})

    trace = only(api)
    assert (trace["prompt"], trace["prompt_ids"], trace["source"]) == (None, None, None)
    assert trace["prompt_tokens"] == 2


def test_a_trace_can_be_deleted(api):
    api.post("/v1/chat/completions", json=HI | {"trace": True})
    name = only(api)["id"]

    got = api.delete(f"/v1/traces/{name}")

    assert got.json() == {"id": name, "object": "trace", "deleted": True}
    assert api.get(f"/v1/traces/{name}").status_code == 404
    assert api.delete(f"/v1/traces/{name}").json()["error"]["code"] == "trace_not_found"


def test_traces_are_exported_as_json_lines(api):
    for _ in range(2):
        api.post("/v1/chat/completions", json=HI | {"trace": True})

    got = api.get("/v1/traces/export")

    assert got.headers["content-type"].startswith("application/jsonl")
    assert [json.loads(line)["text"] for line in got.text.splitlines()] == ["Hi", "Hi"]


def test_a_trace_is_also_a_text(api):
    api.post("/v1/chat/completions", json=HI | {"trace": True})

    text = api.get(f"/v1/traces/{only(api)['id']}?format=text").text

    assert "logprob=-0.500" in text
    assert "completion: 'Hi'" in text


def test_a_trace_is_also_a_page_to_keep(api):
    api.post("/v1/chat/completions", json=HI | {"trace": True})

    got = api.get(f"/v1/traces/{only(api)['id']}?format=html")

    assert got.headers["content-type"].startswith("text/html")
    assert got.headers["content-disposition"] == "attachment; filename=trace.html"
    assert "<trace-page>" in got.text


def test_a_page_can_have_another_trace_beside_it(api):
    for _ in range(2):
        api.post("/v1/chat/completions", json=HI | {"trace": True})
    one, other = (each["id"] for each in api.get("/v1/traces").json()["data"])

    text = api.get(f"/v1/traces/{one}?format=html&beside={other}").text

    assert f"Trace {one} and {other}" in text
    assert api.get(f"/v1/traces/{one}?beside={other}").json()["error"]["param"] == "beside"
    assert api.get(f"/v1/traces/{one}?format=html&beside=x").status_code == 404


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("limit=9999", "limit"),
        ("since=soon", "since"),
        ("before=nan()", "before"),
        ("status=gone", "status"),
    ],
)
def test_a_wrong_filter_is_refused_by_name(api, query, param):
    for path in ("/v1/traces", "/v1/traces/export"):
        got = api.get(f"{path}?{query}")

        assert got.status_code == 400
        assert got.json()["error"]["param"] == param


def test_an_unknown_format_is_refused(api):
    got = api.get("/v1/traces/x?format=pdf")

    assert "expected one of json, text, html" in got.json()["error"]["message"]
    assert got.json()["error"]["param"] == "format"


def test_a_request_that_never_gets_a_row_ends_its_trace(api, hub, monkeypatch):
    monkeypatch.setattr("concordance_inference.traces.active.GRACE_S", -1.0)
    engine = FakeEngine([RuntimeError("gone")])
    context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog(), traces=hub)
    client = TestClient(
        create_app(context), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
    )

    client.post("/v1/chat/completions", json=HI | {"trace": True})

    trace = only(api)
    assert trace["status"] == "failed"
    assert "before the engine gave it a row" in trace["error"]


def test_the_thread_of_a_hub_ends_with_its_traces(api, hub):
    api.post("/v1/chat/completions", json=HI | {"trace": True})
    hub.flush()
    for thread in threading.enumerate():
        if thread.name == "traces":
            thread.join(60)

    assert not any(thread.name == "traces" for thread in threading.enumerate())


def test_a_live_stream_has_the_trace_of_a_request_and_ends_with_its_client(hub):
    async def watch():
        engine = FakeEngine(record)
        context = ServerContext(models=OneModel(engine, FakeChat()), mods=mod_catalog(), traces=hub)
        app = create_app(context)
        live = Call(app, "GET", "/v1/traces/live")
        await live.until(lambda call: b"watching" in call.raw)
        await Call(app, "POST", "/v1/chat/completions", HI).end()
        await live.until(lambda call: b'"type":"end"' in call.raw)
        assert live.headers["content-type"].startswith("text/event-stream")
        live.leave()
        await live.end()

    asyncio.run(watch())

    assert not hub.watchers


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (True, "├──[Sampled] Sampled:"),
        ("trace", "├──[Added] 1 token(s), tokens:"),
        ({"type": "trace", "ansi_color": True}, "\x1b[36m[Added]"),
    ],
)
def test_the_field_of_the_older_server_returns_the_tree_of_what_mods_did(api, given, shown):
    got = api.post("/v1/chat/completions", json=HI | {"mod_debug_logs": given}).json()

    assert got["choices"][0]["message"]["content"] == "Hi"
    assert got["mod_debug_logs"].startswith("GenStart\n")
    assert shown in got["mod_debug_logs"]


def test_the_field_of_the_older_server_returns_entries_as_json(api):
    got = api.post("/v1/chat/completions", json=HI | {"mod_debug_logs": "json"}).json()

    kinds = [entry["event_type"] for entry in got["mod_debug_logs"]]
    assert kinds == ["Prefilled", *["ForwardPass", "Sampled", "Added"] * 2]
    plain = api.post("/v1/chat/completions", json=HI | {"mod_debug_logs": False}).json()
    assert "mod_debug_logs" not in plain


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"mod_debug_logs": "text"}, "mod_debug_logs"),
        ({"mod_debug_logs": {"type": "xml"}}, "mod_debug_logs.type"),
        ({"mod_debug_logs": True, "stream": True}, "mod_debug_logs"),
        ({"mod_debug_logs": True, "n": 2}, "mod_debug_logs"),
        ({"mod_debug_logs": True, "trace": "off"}, "trace"),
    ],
)
def test_the_field_of_the_older_server_is_refused_where_it_cannot_be_honoured(api, fields, param):
    got = api.post("/v1/chat/completions", json=HI | fields)

    assert got.status_code == 400
    assert got.json()["error"]["param"] == param
