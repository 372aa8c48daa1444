"""Versions of uploaded mods, and dry runs."""

import pytest
from concordance_inference.mods import dry_run
from concordance_inference.mods.mod_versions import MAX_VERSIONS
from fake_engine import FakeEngine

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


def source(words):
    return f"""
from concordance_sdk import mod

@mod
def hello(event, actions, tokenizer):
    if type(event).__name__ == "ForwardPass" and event.step == 0:
        return [actions.report(said={words!r}), actions.force_tokens(tokenizer.encode({words!r}))]
"""


def upload(client, words, **fields):
    body = {"name": "hello", "entrypoint": "hello", "source": source(words)}
    return client.post("/v1/mods", json={**body, **fields}).json()


def words_of(call):
    (text,) = call.definition.source.files.values()
    return text


def test_a_request_selects_a_version_by_its_hash(serve):
    engine = FakeEngine()
    client = serve(engine)
    first, second = upload(client, "one"), upload(client, "two")
    for name in ("hello", f"hello@{first['hash']}", f"hello@{second['hash'][:16]}"):
        assert client.post("/v1/chat/completions", json={**ASK, "mods": [name]}).status_code == 200
    asked = {**ASK, "model": f"fake/hello@{first['hash']}"}
    assert client.post("/v1/chat/completions", json=asked).status_code == 200

    calls = [request.mods[0] for request in engine.requests]
    said = [next(word for word in ("one", "two") if word in words_of(call)) for call in calls]
    assert said == ["two", "one", "two", "one"]
    assert {call.name for call in calls} == {"hello"}


def test_a_mod_lists_its_versions_and_its_hash(client):
    first, second = upload(client, "one"), upload(client, "two")
    again = upload(client, "one")

    assert first["hash"] == again["hash"] != second["hash"]
    got = client.get("/v1/mods/hello").json()
    assert got["hash"] == first["hash"]
    assert got["versions"] == [second["hash"], first["hash"]]
    assert client.get(f"/v1/mods/hello@{second['hash']}").json()["hash"] == second["hash"]


def test_old_versions_are_dropped_and_deleting_removes_all(client):
    hashes = [upload(client, f"word {i}")["hash"] for i in range(MAX_VERSIONS + 1)]

    assert client.get("/v1/mods/hello").json()["versions"] == hashes[1:]
    gone = client.get(f"/v1/mods/hello@{hashes[0]}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "mod_not_found")
    client.delete("/v1/mods/hello")
    assert client.get(f"/v1/mods/hello@{hashes[-1]}").status_code == 404


def test_the_entry_point_is_part_of_the_hash(client):
    two = source("one") + "\n@mod\ndef other(event, actions): ...\n"
    first = upload(client, "", source=two)
    second = upload(client, "", source=two, entrypoint="other")

    assert first["hash"] != second["hash"]


@pytest.mark.parametrize("name", ["hello@sha256:0123", "hello@md5:01234567", "greeting@sha256:"])
def test_a_malformed_version_is_an_unknown_mod(client, name):
    response = client.post("/v1/chat/completions", json={**ASK, "mods": [name]})

    assert (response.status_code, response.json()["error"]["code"]) == (404, "mod_not_found")


# Dry runs


def test_a_dry_run_returns_the_text_the_log_and_the_reports(client):
    uploaded = upload(client, "Well, ")
    ran = client.post("/v1/mods/hello/dry_run", json={"says": "yes"}).json()

    assert (ran["text"], ran["finish_reason"], ran["error"]) == ("Well, yes", "stop", None)
    assert ran["hash"] == uploaded["hash"]
    assert "added 0 'Well, ' (forced)" in ran["log"]
    assert ran["reports"] == [{"mod": "hello", "step": 0, "data": {"said": "Well, "}}]
    assert ran["changes"][0] == {"kept": 0, "added": "Well, ", "forced": True, "mod": "hello"}


def test_a_dry_run_of_an_upload_does_not_add_it(client):
    body = {"name": "hello", "entrypoint": "hello", "source": source("Hm. "), "says": "yes"}
    ran = client.post("/v1/mods?dry_run=true", json=body)

    assert (ran.status_code, ran.json()["text"]) == (200, "Hm. yes")
    assert client.get("/v1/mods/hello").status_code == 404


def test_a_mod_that_fails_in_a_dry_run_returns_its_error_and_traceback(client):
    failing = source("x").replace("return [", "return [1 / 0, ")
    upload(client, "", source=failing)
    ran = client.post("/v1/mods/hello/dry_run", json={"script": "yes"})

    assert ran.status_code == 200
    assert ran.json()["error"]["code"] == "mod_raised"
    assert "ZeroDivisionError" in ran.json()["error"]["traceback"]
    assert ran.json()["log"][0].startswith("prefilled")


def test_a_dry_run_without_an_end_is_interrupted(client, monkeypatch):
    monkeypatch.setattr(dry_run, "DRY_RUN_S", 0.2)
    upload(
        client, "", source=source("x").replace("    if type", "    while True: ...\n    if type")
    )
    ran = client.post("/v1/mods/hello/dry_run", json={"says": "yes"}).json()

    assert ran["error"]["code"] == "mod_timeout"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "says"),
        ({"says": "a", "script": "a"}, "says"),
        ({"says": "a", "max_tokens": 0}, "max_tokens"),
        ({"says": "a", "params": {"no": 1}}, None),
    ],
)
def test_a_wrong_dry_run_is_refused(client, body, param):
    upload(client, "x")
    response = client.post("/v1/mods/hello/dry_run", json=body)

    assert response.status_code == 400
    assert not param or response.json()["error"]["param"] == param
