import pytest
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from fake_engine import FakeChat, FakeEngine
from starlette.testclient import TestClient


@pytest.fixture(name="serve")
def _serve():
    """A client of an application over a fake engine."""

    def serve(engine=None, *, allow_uploads=True):
        context = ServerContext(
            engine=engine or FakeEngine(),
            chat=FakeChat(),
            mods=ModCatalog(),
            allow_uploads=allow_uploads,
        )
        return TestClient(create_app(context), raise_server_exceptions=False)

    return serve


@pytest.fixture(name="client")
def _client(serve):
    return serve()
