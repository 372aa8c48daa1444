"""A server of two models, an adapter and an alias, which unloads what is idle."""

import json
import urllib.error
import urllib.request

import pytest
from servers import Server, eventually
from tiny_adapter import write_tiny_adapter
from tiny_folder import write_tiny_folder

pytestmark = pytest.mark.process

IDLE_S = 1.0


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    folders = [write_tiny_folder(root / name) for name in ("big", "small")]
    adapter = write_tiny_adapter(root / "legal", seed=1)
    server = Server(
        *("--model", folders[0], "--model", f"second={folders[1]}"),
        *("--adapter", f"second:legal={adapter}", "--alias", "gpt-4o=second"),
        *("--model-memory", 1, "--kv-memory", 0.1, "--idle-unload", IDLE_S),
    )
    yield server
    assert server.stop() == 0


def request(server, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(server.url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as response:
        return json.load(response)


def ask(server, model):
    body = {
        "model": model,
        "prompt": "The party",
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    return request(server, "/v1/completions", body)


def token_ids(server, model):
    return ask(server, model)["choices"][0]["token_ids"]


def states(server):
    models = request(server, "/v1/models")["data"]
    return {each["id"]: each["status"] for each in models if each["root"] == each["id"]}


def test_models_adapters_and_aliases_are_loaded_on_demand_and_unloaded_when_idle(server):
    assert set(states(server)) == {"big", "second", "second:legal"}
    plain = token_ids(server, "second")
    assert token_ids(server, "gpt-4o") == token_ids(server, "big") == plain
    with_adapter = token_ids(server, "second:legal")
    assert with_adapter != plain
    assert states(server)["second:legal"] == "loaded"

    eventually(lambda: set(states(server).values()) == {"unloaded"}, timeout=30)
    assert request(server, "/readyz")["status"] == "ok"
    assert token_ids(server, "second:legal") == with_adapter
    assert token_ids(server, "gpt-4o") == plain


def test_a_model_of_another_name_is_refused_with_those_there_are(server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, "second:other")
    body = json.load(caught.value)

    assert (caught.value.code, body["error"]["param"]) == (404, "model")
    assert "second:legal" in body["error"]["message"]


def test_a_model_runs_with_a_mod_beside_its_adapter(server):
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "second:legal/greeting", "messages": messages, "max_tokens": 8}
    usage = request(server, "/v1/chat/completions", body)["concordance"]

    assert [used["mod"] for used in usage["mods"]] == ["greeting"]


def test_models_are_loaded_and_unloaded_by_request(server):
    loaded = request(server, "/v1/models/load", {"model": "gpt-4o"})
    assert (loaded["root"], loaded["status"]) == ("second", "loaded")
    assert loaded["memory_bytes"] > 0
    unloaded = request(server, "/v1/models/unload", {"model": "second"})

    assert unloaded["status"] == "unloaded"
