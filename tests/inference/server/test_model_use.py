import time

from concordance_inference.generation import Started
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.model_use import ModelUse, current_use
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient


class Model:
    """Counts the requests that hold it."""

    def __init__(self):
        self.num_requests = 0

    def hold(self):
        self.num_requests += 1

    def release(self):
        self.num_requests -= 1


def test_a_copy_holds_the_models_until_it_is_closed_as_well():
    model, use = Model(), ModelUse()
    use.add(model)
    use.add(model)
    copy = use.copy()
    use.close()

    assert (model.num_requests, copy.holds(model), use.holds(model)) == (1, True, False)
    copy.close()
    assert model.num_requests == 0


def test_a_response_in_the_background_holds_its_model_until_it_has_ended():
    model = Model()

    class Models(OneModel):
        def named(self, name):
            current_use().add(model)
            return super().named(name)

    engine = FakeEngine([Started(prompt_tokens=3), 60.0])
    context = ServerContext(models=Models(engine, FakeChat()), mods=mod_catalog())
    with TestClient(create_app(context), base_url="http://127.0.0.1:8000") as client:
        body = {"model": "fake", "input": "hi", "background": True}
        running = client.post("/v1/responses", json=body).json()["id"]
        assert model.num_requests == 1
        client.post(f"/v1/responses/{running}/cancel", json={})
        deadline = time.monotonic() + 10
        while model.num_requests and time.monotonic() < deadline:
            time.sleep(0.001)
    assert model.num_requests == 0
