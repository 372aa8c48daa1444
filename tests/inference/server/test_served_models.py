"""Models are looked up by the name that a request gives, and loaded on demand."""

import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import ModelNotLoadedError, OneModel
from concordance_shared import ModelLoadError
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


class Lazy(OneModel):
    """A model that is loaded when a request names it."""

    def __init__(self, error=None):
        super().__init__(FakeEngine(), FakeChat())
        self.error = error
        self.loads = []

    def named(self, model):
        if not self.loads and model is not None:
            raise ModelNotLoadedError("fake")
        return super().named(model)

    async def load(self, name):
        self.loads.append(name)
        if self.error:
            raise self.error


def client_of(models):
    app = create_app(ServerContext(models=models, mods=mod_catalog()))
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", ASK),
        ("/v1/chat/completions", {**ASK, "stream": True}),
        ("/v1/chat/completions", {**ASK, "model": "fake/greeting"}),
        ("/v1/completions", {"model": "fake", "prompt": "hi"}),
        ("/v1/tokenize", {"model": "fake", "prompt": "hi"}),
        ("/v1/detokenize", {"model": "fake", "tokens": [1]}),
        ("/v1/chat/completions/render", ASK),
    ],
)
def test_a_model_is_loaded_when_a_request_names_it(path, body):
    models = Lazy()
    client = client_of(models)

    assert client.post(path, json=body).status_code == 200
    assert client.post(path, json=body).status_code == 200

    assert models.loads == ["fake"]


def test_a_request_with_a_wrong_field_loads_no_model():
    models = Lazy()

    response = client_of(models).post("/v1/chat/completions", json={**ASK, "temperature": 9})

    assert response.json()["error"]["param"] == "temperature"
    assert models.loads == []


def test_a_model_that_cannot_be_loaded_is_the_error_of_the_request():
    models = Lazy(ModelLoadError("no weights"))

    response = client_of(models).post("/v1/chat/completions", json=ASK)

    assert response.json()["error"]["message"] == "no weights"


def test_a_request_without_a_model_uses_the_default():
    models = Lazy()

    assert client_of(models).post("/v1/tokenize", json={"prompt": "hi"}).status_code == 200
    assert models.loads == []
