import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.limits import Limits
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient


@pytest.fixture(name="serve")
def _serve():
    """A client of an application over a fake engine."""

    def serve(engine=None, mods=None, limits=None):
        models = OneModel(engine or FakeEngine(), FakeChat())
        context = ServerContext(
            models=models, mods=mods or mod_catalog(), limits=limits or Limits()
        )
        return TestClient(
            create_app(context), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
        )

    return serve


@pytest.fixture(name="client")
def _client(serve):
    return serve()
