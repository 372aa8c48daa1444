"""The other routes, and what guards all of them."""

import msgspec
import pytest
from concordance_sdk import serialize_mod
from concordance_sdk.builtin.greeting import Greeting

SAY = """
from concordance_sdk import mod

@mod
class say:
    '''Replies with the given words.'''
    words: str

    def forward_pass(self, event, actions, tokenizer):
        return actions.force_output(tokenizer.encode(self.words))
"""
UPLOAD = {"name": "hello", "language": "python", "module": "m", "entrypoint": "say", "source": SAY}


# Models


def test_models_lists_the_plain_model_first_then_mods_without_required_parameters(client):
    ids = [model["id"] for model in client.get("/v1/models").json()["data"]]

    assert ids[0] == "fake"
    assert "fake/greeting" in ids
    assert "fake/replace" not in ids


def test_a_model_with_a_mod_is_described(client):
    model = client.get("/v1/models/fake/greeting").json()

    assert (model["id"], model["object"], model["max_model_len"]) == ("fake/greeting", "model", 100)
    assert model["sampling_defaults"] == {
        "source": "openai",
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
    }
    assert client.get("/v1/models/nosuch").status_code == 404


# Mods


OLDER = """
from quote_mod_sdk import Prefilled, mod
from {0}words import HELLO

@mod
def Say(event, actions, tokenizer):
    if isinstance(event, Prefilled):
        return actions.force_output(tokenizer.encode(HELLO))
    return actions.noop()
"""


@pytest.mark.parametrize("home", [".", "pack."])
def test_a_folder_of_the_older_sdk_is_uploaded_under_its_kind_of_name(client, home):
    source = {"pack/say.py": OLDER.format(home), "pack/words.py": "HELLO = 'hello'"}
    upload = {"name": "My.Mod-2", "language": "Python", "entrypoint": "Say", "source": source}
    path = client.post("/v1/mods", json={**upload, "module": "pack/say.py"})
    made = client.post("/v1/mods", json={**upload, "module": "pack.say"})

    assert "use dots: 'pack.say'" in path.json()["error"]["message"]
    assert made.status_code == 201, made.text
    assert client.get("/v1/mods/My.Mod-2").json() == made.json()
    assert "My.Mod-2" in [m["id"] for m in client.get("/v1/mods").json()["data"]]
    assert "fake/My.Mod-2" in [m["id"] for m in client.get("/v1/models").json()["data"]]
    assert client.delete("/v1/mods/My.Mod-2").status_code == 200


def test_an_upload_is_listed_and_deleted(client):
    made = client.post("/v1/mods", json=UPLOAD)
    assert made.status_code == 201
    assert made.json()["source"] == "uploaded"
    assert made.json()["description"] == "Replies with the given words."
    assert made.json()["events"] == ["ForwardPass"]

    assert client.get("/v1/mods/hello").json() == made.json()
    assert "hello" in [m["id"] for m in client.get("/v1/mods").json()["data"]]
    assert client.delete("/v1/mods/hello").json() == {
        "id": "hello",
        "object": "mod",
        "deleted": True,
    }
    assert client.get("/v1/mods/hello").status_code == 404


def test_the_payload_of_serialize_mod_is_uploaded(client):
    headers = {"content-type": "application/json"}
    payload = msgspec.json.encode(serialize_mod(Greeting, name="quiet-too"))
    response = client.post("/v1/mods", content=payload, headers=headers)

    assert response.status_code == 201, response.text
    assert response.json()["id"] == "quiet-too"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"name": "No good"}, 400, "name"),
        ({"name": 3}, 400, "name"),
        ({"language": "lua"}, 400, "language"),
        ({"entrypoint": "nowhere"}, 400, "entrypoint"),
        ({"source": None}, 400, "source"),
        ({"source": "1 / 0"}, 422, None),
        ({"name": "replace"}, 409, "name"),
    ],
)
def test_an_invalid_upload_is_refused_with_its_field(client, fields, status, param):
    response = client.post("/v1/mods", json={**UPLOAD, **fields})

    assert response.status_code == status
    assert response.json()["error"]["param"] == param


def test_an_upload_without_a_name_is_refused(client):
    response = client.post("/v1/mods", json={"entrypoint": "say", "source": SAY})

    assert (response.status_code, response.json()["error"]["param"]) == (400, "name")


def test_an_upload_that_is_too_long_is_413(client):
    response = client.post("/v1/mods", json={**UPLOAD, "source": "#" * 2**20})

    assert response.status_code == 413


def test_the_operators_mods_cannot_be_deleted(client):
    assert client.delete("/v1/mods/replace").status_code == 409


# Errors of the router


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/chat/completions", 405), ("PUT", "/v1/mods", 405)],
)
def test_errors_of_the_router_have_openais_shape(client, method, path, status):
    response = client.request(method, path)

    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


# Web pages


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "testserver"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_foreign_hosts_and_origins_are_refused(client, headers):
    response = client.get("/v1/models", headers=headers)

    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8000"},
        {"host": "127.0.0.1"},
        {"host": "[::1]:8000"},
        {"origin": "http://localhost:3000"},
    ],
)
def test_loopback_hosts_and_origins_are_accepted(client, headers):
    assert client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_media_types_without_a_cors_preflight_are_refused(client, media_type):
    response = client.post("/v1/mods", content=b"{}", headers={"content-type": media_type})

    assert response.status_code == 415


def test_a_media_type_with_a_charset_is_accepted(client):
    headers = {"content-type": "application/json; charset=utf-8"}

    assert client.post("/v1/mods", content=b"{}", headers=headers).status_code == 400
