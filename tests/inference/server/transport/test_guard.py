import pytest
from keyed import CHAT, KeyedServer

PAGE = "https://app.example"


@pytest.fixture(name="server")
def _server(tmp_path):
    def serve(**fields):
        return KeyedServer(tmp_path / "keys.json", **fields)

    return serve


def test_a_name_that_the_operator_allows_is_a_host_and_an_origin(server):
    client = server(hosts=frozenset({"llm.example"})).client()

    for headers in ({"host": "llm.example:8000"}, {"origin": "https://llm.example"}):
        assert client.get("/v1/models", headers=headers).status_code == 200
    assert client.get("/v1/models", headers={"host": "other.example"}).status_code == 403


def test_a_host_is_refused_before_the_key_is_looked_at(server):
    server = server()
    _, secret = server.key("admin")

    response = server.client(secret).get("/v1/models", headers={"host": "evil.example"})

    assert response.status_code == 403
    assert "--allowed-hosts" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("host", "listens_on_all", "status"),
    [
        ("192.0.2.7", True, 200),
        ("192.0.2.7", False, 403),
        ("192.0.2.8", True, 403),
        ("evil.example", True, 403),
    ],
)
def test_the_address_of_a_connection_is_a_host_where_the_server_listens_on_all(
    server, host, listens_on_all, status
):
    app = server(listens_on_all=listens_on_all).app

    async def at(scope, receive, send):
        await app({**scope, "server": ("192.0.2.7", 8000)}, receive, send)

    server = server()
    server.app = at
    assert server.client().get("/v1/models", headers={"host": host}).status_code == status


def test_a_name_is_no_host_even_if_it_is_what_the_server_calls_itself(server):
    app = server(listens_on_all=True).app

    async def at(scope, receive, send):
        await app({**scope, "server": ("evil.example", 8000)}, receive, send)

    server = server()
    server.app = at
    assert server.client().get("/v1/models", headers={"host": "evil.example"}).status_code == 403


# CORS


def preflight(client, origin):
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    return client.options("/v1/chat/completions", headers=headers)


def test_no_page_gets_a_preflight_by_default(server):
    client = server().client()

    for origin in ("http://localhost:3000", PAGE):
        response = preflight(client, origin)
        assert response.status_code in (403, 405)
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_page_that_the_operator_names_may_send_its_key(server):
    server = server(cors_origins=frozenset({PAGE}))
    _, secret = server.key("infer")
    allowed = preflight(server.client(), PAGE)

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    for client, status in ((server.client(secret), 200), (server.client(), 401)):
        response = client.post("/v1/chat/completions", json=CHAT, headers={"origin": PAGE})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == PAGE


def test_other_pages_than_the_named_ones_are_refused(server):
    client = server(cors_origins=frozenset({PAGE})).client()

    for origin in ("https://other.example", f"{PAGE}.evil.example", f"{PAGE}:8443"):
        assert preflight(client, origin).status_code == 403
        assert client.get("/v1/models", headers={"origin": origin}).status_code == 403


# Bodies


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_a_body_that_is_no_json_is_415_with_a_key_and_401_without(server, kind):
    server = server()
    _, secret = server.key("infer")
    headers = {"content-type": kind} if kind else {}

    for given, status in ((None, 401), (secret, 415)):
        response = server.client(given).post("/v1/completions", content="{}", headers=headers)
        assert response.status_code == status
