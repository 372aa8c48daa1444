"""A server while its first model is loaded."""

import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.startup import Startup
from fake_engine import FakeChat, FakeEngine
from starlette.testclient import TestClient

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


class Loading(OneModel):
    """A model that is loaded by and by."""

    loaded = ()


@pytest.fixture(name="startup")
def _startup():
    startup = Startup(is_over=False)
    startup.doing = "reading weights"
    return startup


@pytest.fixture(name="loading")
def _loading(startup):
    models = Loading(FakeEngine(), FakeChat())
    context = ServerContext(models=models, mods=ModCatalog(), startup=startup)
    return TestClient(create_app(context), base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/health", 503)]
)
def test_probes_say_that_the_model_is_loading_and_what_the_load_does(loading, path, status):
    response = loading.get(path)

    assert response.status_code == status
    about = {"status": "loading", "model": "fake", "doing": "reading weights"}
    assert response.json() == {**about, "sandbox": {"status": "off"}}
    assert ("retry-after" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/nowhere")],
)
def test_other_requests_are_refused_with_503_until_the_model_is_loaded(
    loading, startup, method, path
):
    refused = loading.request(method, path, json=ASK)
    startup.is_over = True
    after = loading.request(method, path, json=ASK)

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "model_loading"
    assert "reading weights" in refused.json()["error"]["message"]
    assert after.status_code in (200, 404)


def test_anthropic_clients_get_their_status_of_a_server_that_is_not_ready(loading):
    response = loading.post("/v1/messages", json=ASK)

    assert (response.status_code, response.json()["type"]) == (529, "error")


def test_metrics_respond_while_the_model_is_loaded(loading):
    assert loading.get("/metrics").status_code == 200
