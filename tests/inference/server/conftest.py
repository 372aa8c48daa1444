import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from starlette.testclient import TestClient


@pytest.fixture(name="serve")
def _serve():
    """A client of an application over a fake engine."""

    def serve(engine=None):
        engine = engine or FakeEngine()
        context = ServerContext(models=OneModel(engine, FakeChat()), mods=ModCatalog())
        return TestClient(
            create_app(context), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
        )

    return serve


@pytest.fixture(name="client")
def _client(serve):
    return serve()
