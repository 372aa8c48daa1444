"""Requests to servers, also to those that are none or of another kind."""

import pytest
from concordance_inference.cli.server_client import ServerClient, ServerRefusedError, quoted
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
