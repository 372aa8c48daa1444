"""Every request needs a key of the right scope; one without learns nothing."""

import asyncio
import logging
import re

import pytest
from concordance_inference.keys.key import SECRET, new_key
from concordance_inference.keys.key_file import revoke_keys
from concordance_inference.keys.keyring import Keyring
from concordance_inference.server.access.access import Access
from concordance_inference.server.app import ROUTES
from concordance_inference.server.description.endpoint import Endpoint
from keyed import CHAT, KeyedServer, upload

OPEN = {"/healthz", "/readyz"}


def path_of(route):
    return re.sub(r"{[^}]*}", "x", route.path)


def requests():
    return [(route.method, path_of(route), route) for route in ROUTES]


ids = [f"{method} {path}" for method, path, _ in requests()]


# Without a key


@pytest.mark.parametrize(("method", "path", "route"), requests(), ids=ids)
def test_every_route_needs_a_key(server, method, path, route):
    del route
    for secret in (None, "none", new_key("admin")[1]):
        response = server.client(secret).request(
            method, path, json={} if method == "POST" else None
        )

        if path in OPEN:
            assert response.json() == {"status": "ok"}
            continue
        assert response.status_code == 401, response.text
        error = response.json()["error"]
        assert error["type"] == "authentication_error"
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["x-should-retry"] == "false"


def test_every_route_of_the_application_says_which_scope_it_needs(server):
    assert all(isinstance(route, Endpoint) for route in server.app.routes)
    free = {route.path for route in server.app.routes if route.scope is None}
    assert free == {"/healthz", "/readyz", "/health"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/v1/models/"),
        ("PUT", "/v1/mods"),
        ("OPTIONS", "/v1/models"),
        ("HEAD", "/metrics"),
        ("GET", "/healthz/"),
        ("GET", "//healthz"),
        ("GET", "/healthz%2f..%2fmetrics"),
        ("GET", "/HEALTHZ"),
        ("GET", "/readyz/../metrics"),
        ("POST", "/v1/chat/completions"),
    ],
)
def test_unknown_paths_and_methods_need_a_key_before_they_are_unknown(server, method, path):
    assert server.client().request(method, path).status_code == 401


@pytest.mark.parametrize("part", ["query", "body", "path", "cookie", "basic"])
def test_a_key_elsewhere_than_in_its_header_is_none(server, part):
    _, secret = server.key("admin")
    client = server.client()
    response = {
        "query": lambda: client.get(f"/v1/models?api_key={secret}&key={secret}"),
        "body": lambda: client.post("/v1/chat/completions", json={**CHAT, "api_key": secret}),
        "path": lambda: client.get(f"/{secret}/v1/models"),
        "cookie": lambda: client.get("/v1/models", headers={"cookie": f"api_key={secret}"}),
        "basic": lambda: client.get("/v1/models", headers={"authorization": f"Basic {secret}"}),
    }[part]()

    assert response.status_code == 401
    assert secret not in response.text


@pytest.mark.parametrize("kind", ["websocket", "something"])
def test_a_connection_of_another_kind_is_not_accepted(server, kind):
    sent = []

    async def connect():
        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "websocket.connect"}

        await server.app({"type": kind, "path": "/v1/models", "headers": []}, receive, send)

    asyncio.run(connect())
    assert sent == []


# With a key


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_is_accepted_in_the_headers_of_both_apis(server, header):
    _, secret = server.key("infer")
    value = f"Bearer {secret}" if header == "authorization" else secret

    response = server.client().get("/v1/models", headers={header: value})

    assert response.status_code == 200


def test_a_wrong_bearer_does_not_hide_a_right_x_api_key(server):
    _, secret = server.key("infer")

    response = server.client("other").get("/v1/models", headers={"x-api-key": secret})

    assert response.status_code == 200


def test_unknown_paths_are_404_with_a_key(server):
    assert server.of("infer").get("/nowhere").status_code == 404


def test_a_revoked_key_is_refused_by_the_running_server(server):
    key, secret = server.key("infer")
    client = server.client(secret)
    assert client.get("/v1/models").status_code == 200

    revoke_keys(server.path, [key.id])

    assert client.get("/v1/models").status_code == 401


def test_an_expired_key_is_refused(server):
    assert server.of("infer", days=-1).get("/v1/models").status_code == 401


@pytest.mark.parametrize("role", ["infer", "mods:write", "metrics", "admin"])
@pytest.mark.parametrize(("method", "path", "route"), requests(), ids=ids)
def test_a_key_without_the_scope_of_a_route_is_refused(server, role, method, path, route):
    key, secret = server.key(role)
    is_allowed = route.scope is None or route.scope in key.scopes
    if is_allowed and path == "/v1/traces/live":
        return  # the stream has no end

    response = server.client(secret).request(method, path, json={} if method == "POST" else None)

    assert (response.status_code == 403) == (not is_allowed), response.text
    if not is_allowed:
        body = response.json()
        assert body["error"]["type"] == "permission_error"
        assert f"needs {route.scope!r}" in body["error"]["message"]
        assert key.id in body["error"]["message"]


def test_the_scopes_of_what_changes_the_server():
    needed = {(route.method, route.path): route.scope for route in ROUTES}

    assert needed["POST", "/v1/mods"] == needed["DELETE", "/v1/mods/{name}"] == "mods:write"
    assert needed["POST", "/v1/models/load"] == needed["POST", "/v1/models/unload"] == "admin"
    assert needed["GET", "/metrics"] == "metrics"
    assert needed["POST", "/v1/chat/completions"] == "infer"


# Health


def test_health_has_no_details_without_a_key_and_those_of_others_for_the_admin_only(server):
    server.engine.is_running = False

    assert server.client().get("/healthz").json() == {"status": "stopped"}
    assert server.client("wrong").get("/readyz").json() == {"status": "stopped"}
    assert server.of("infer").get("/healthz").json() == {"status": "stopped", "model": "fake"}


# Shapes of errors


def test_errors_have_the_shape_of_the_api_that_was_called(server):
    openai = server.client().post("/v1/chat/completions", json=CHAT)
    anthropic = server.client().post("/v1/messages", json=CHAT)
    models = server.client().get("/v1/models", headers={"anthropic-version": "2023-06-01"})

    assert openai.json()["error"] == {
        "message": openai.json()["error"]["message"],
        "type": "authentication_error",
        "param": None,
        "code": "invalid_api_key",
    }
    for response in (anthropic, models):
        assert response.status_code == 401
        assert response.json()["type"] == "error"
        assert response.json()["error"]["type"] == "authentication_error"


def test_a_missing_scope_has_anthropics_shape_on_its_routes(server):
    response = server.of("metrics").post("/v1/messages", json=CHAT)

    assert (response.status_code, response.json()["type"]) == (403, "error")
    assert response.json()["error"]["type"] == "permission_error"


# Attempts


def test_the_eleventh_invalid_key_within_a_minute_is_429_and_valid_keys_still_work(server):
    client = server.client("wrong")
    assert [client.get("/v1/models").status_code for _ in range(10)] == [401] * 10

    refused = client.get("/v1/models")

    assert refused.status_code == 429
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert client.get("/healthz").status_code == 200  # probes are not refused
    assert server.client().get("/v1/models").status_code == 401
    assert server.of("infer").get("/v1/models").status_code == 200


# Without keys, on a loopback address


@pytest.fixture(name="laptop")
def _laptop(tmp_path):
    path, secret = tmp_path / "keys.json", new_key("mods:write")[1]
    server = KeyedServer(path, access=Access(Keyring(path), upload_key=secret))
    return server, secret


@pytest.mark.parametrize("secret", [None, "none", "ck_infer_" + "a" * 43])
def test_without_keys_every_caller_may_generate_with_any_key_or_none(laptop, secret):
    server, _ = laptop
    client = server.client(secret)

    assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert client.get("/metrics").status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/healthz").json()["model"] == "fake"


@pytest.mark.parametrize("secret", [None, "none", "ck_mods_" + "a" * 43])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/mods"), ("POST", "/v1/mods?dry_run=true"), ("DELETE", "/v1/mods/hello")],
)
def test_without_keys_uploading_needs_the_upload_key(laptop, secret, method, path):
    server, _ = laptop
    body = upload() if method == "POST" else None

    response = server.client(secret).request(method, path, json=body)

    assert response.status_code == 401
    assert "`concordance keys upload` prints it" in response.json()["error"]["message"]


def test_mods_that_are_uploaded_with_the_upload_key_are_for_all_without_keys(laptop):
    server, secret = laptop

    assert server.client(secret).post("/v1/mods", json=upload()).status_code == 201
    assert server.client().get("/v1/mods/hello").status_code == 200
    assert server.client(secret).delete("/v1/mods/hello").status_code == 200


def test_guesses_of_the_upload_key_are_limited_and_generating_is_not(laptop):
    server, _ = laptop
    client = server.client("ck_mods_" + "a" * 43)
    statuses = [client.post("/v1/mods", json=upload()).status_code for _ in range(11)]

    assert statuses == [401] * 10 + [429]
    assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


def test_the_first_key_closes_a_running_server_and_the_upload_key_is_none_then(laptop):
    server, secret = laptop
    assert server.client().get("/v1/models").status_code == 200

    _, admin = server.key("admin")

    assert server.client().get("/v1/models").status_code == 401
    assert server.client(secret).post("/v1/mods", json=upload()).status_code == 401
    assert server.client(admin).post("/v1/mods", json=upload()).status_code == 201


# Pages


def test_public_pages_are_sent_without_a_key_and_nothing_else_is(tmp_path):
    path = tmp_path / "keys.json"
    server = KeyedServer(path, access=Access(Keyring(path), shows_pages=True))
    server.key("infer")
    client = server.client()

    assert client.get("/").status_code == 200
    assert client.get("/inspector/main.js").status_code == 200
    assert client.get("/docs").status_code == 200
    assert client.get("/inspector/nowhere").status_code == 404
    for path in ("/v1/models", "/openapi.json", "/metrics", "/inspector", "/v1/traces", "/health"):
        assert client.get(path).status_code == 401, path


# Keys are in no log


@pytest.mark.parametrize("valid", [True, False])
def test_no_log_and_no_error_has_a_key(server, caplog, valid):
    caplog.set_level(logging.DEBUG)
    secret = server.key("admin")[1] if valid else new_key("admin")[1]
    client = server.client(secret, **{"x-api-key": secret})

    responses = [
        client.post("/v1/chat/completions", json=CHAT),
        client.post("/v1/chat/completions", json={**CHAT, "temperature": 9}),
        client.post("/v1/messages", json={}),
        client.post("/v1/mods", json=upload()),
        client.get("/nowhere"),
        client.get("/v1/traces"),
        client.get("/metrics"),
        client.get("/openapi.json"),
    ]

    texts = [caplog.text, *(response.text for response in responses)]
    texts += [str(record.__dict__) for record in caplog.records]
    assert not any(SECRET.search(text) for text in texts)
    if valid:
        assert server.keyring.find(secret).id in caplog.text


def test_what_runs_after_the_middleware_does_not_see_the_key(server):
    seen = []
    server.context.models.named(None).engine.updates = lambda request: seen.append(request) or []
    _, secret = server.key("infer")

    server.client(secret).post("/v1/chat/completions", json=CHAT)

    assert secret not in repr(seen)
