"""Requests to servers, also to those that are none or of another kind."""

import pytest
from concordance_inference.cli.server_client import (
    ServerClient,
    ServerRefusedError,
    key_for,
    quoted,
)
from concordance_inference.keys.upload_key import made_upload_key
from concordance_shared import InvalidRequestError
from scripted_server import scripted_server

HEALTH = {("GET", "/healthz"): (200, {"status": "ok", "model": "tiny"})}


def test_model_is_named_by_its_health():
    with scripted_server(HEALTH) as (url, _):
        assert ServerClient(f"{url}/v1/").model() == "tiny"


def test_stopped_server_still_names_its_model():
    stopped = {("GET", "/healthz"): (503, {"status": "stopped", "model": "tiny"})}
    with scripted_server(stopped) as (url, _):
        assert ServerClient(url).model() == "tiny"


@pytest.mark.parametrize(
    "response",
    [(404, "not here"), (200, {"status": "ok"}), (200, ["model"]), (404, {"detail": "Not Found"})],
)
def test_server_of_another_kind_is_named_as_one(response):
    with (
        scripted_server({("GET", "/healthz"): response}) as (url, _),
        pytest.raises(ServerRefusedError, match=f"{url} is not a Concordance server"),
    ):
        ServerClient(url).model()


def test_page_in_place_of_json_is_no_concordance_server():
    with (
        scripted_server({("GET", "/healthz"): (200, "<html>hello</html>")}) as (url, _),
        pytest.raises(ServerRefusedError, match="no Concordance server at"),
    ):
        ServerClient(url).model()


def test_missing_server_is_an_error_with_the_command_that_starts_one():
    with pytest.raises(ServerRefusedError, match="start one with `concordance serve`"):
        ServerClient("http://127.0.0.1:9").model()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://127.0.0.1:x"])
def test_url_of_another_form_is_refused(url):
    with pytest.raises(InvalidRequestError if "http" not in url else Exception, match="url|x"):
        ServerClient(url).model()


def test_error_of_the_server_has_its_status_message_and_reports():
    error = {"message": "no", "reports": [{"mod": "m", "step": 1, "data": {"a": 1}}]}
    with (
        scripted_server({("POST", "/v1/x"): (422, {"error": error})}) as (url, _),
        pytest.raises(ServerRefusedError, match="^no$") as caught,
    ):
        ServerClient(url).call("POST", "/v1/x", {})

    assert caught.value.status == 422
    assert caught.value.reports[0].data == {"a": 1}


def test_error_of_a_proxy_is_shown_with_its_status():
    with (
        scripted_server({("GET", None): (502, "bad gateway")}) as (url, _),
        pytest.raises(ServerRefusedError, match="502 bad gateway"),
    ):
        ServerClient(url).call("GET", "/v1/mods")


def test_events_are_read_to_the_last_and_comments_are_skipped():
    stream = ': keep-alive\n\ndata: {"a": 1}\n\ndata: {"a": 2}\n\ndata: [DONE]\n\n'
    with scripted_server({("POST", "/s"): (200, stream)}) as (url, _):
        assert list(ServerClient(url).events("/s", {})) == [{"a": 1}, {"a": 2}]


def test_stream_that_ends_early_is_an_error():
    with scripted_server({("POST", "/s"): (200, 'data: {"a": 1}\n\n')}) as (url, _):
        events = ServerClient(url).events("/s", {})

        assert next(events) == {"a": 1}
        with pytest.raises(ServerRefusedError, match="ended the stream early"):
            next(events)


def test_names_are_quoted_in_paths():
    assert quoted("a/b?c") == "a%2Fb%3Fc"


# Keys


@pytest.fixture(name="upload_key")
def _upload_key(tmp_path, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_STATE", str(tmp_path))
    return made_upload_key()


def test_a_server_on_this_machine_is_sent_the_upload_key(upload_key):
    for url in ("http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "http://127.0.0.2"):
        assert key_for(url) == upload_key


def test_other_servers_are_not_sent_the_upload_key(upload_key):
    assert upload_key
    for url in ("http://192.0.2.1", "https://llm.example", "http://127.0.0.1.example", "http://"):
        assert key_for(url) is None


def test_the_key_of_the_variable_is_sent_in_its_header(upload_key, monkeypatch):
    monkeypatch.setenv("CONCORDANCE_API_KEY", "ck_infer_x")
    routes = {("GET", "/v1/mods"): (200, {})}
    with scripted_server(routes) as (url, _):
        assert key_for(url) == "ck_infer_x" != upload_key
        ServerClient(url).call("GET", "/v1/mods")


def test_a_server_that_needs_a_key_says_so_and_where_commands_find_one():
    error = {"error": {"message": "this server needs a key", "type": "authentication_error"}}
    routes = {
        ("GET", "/healthz"): (200, {"status": "ok"}),
        ("GET", "/v1/models"): (401, error),
    }
    with (
        scripted_server(routes) as (url, _),
        pytest.raises(ServerRefusedError, match="needs a key; .* CONCORDANCE_API_KEY"),
    ):
        ServerClient(url).model()
