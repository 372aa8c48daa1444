import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.mods.compiling import prepare_constraints
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tiny_gpt_oss import write_tiny_gpt_oss


@pytest.fixture(name="gpt_oss", scope="session")
def _gpt_oss(tmp_path_factory):
    """A running tiny gpt-oss with random weights and the real vocabulary."""
    folder = write_tiny_gpt_oss(tmp_path_factory.mktemp("model") / "gpt-oss")
    config = EngineConfig(max_rows=2)
    with Runtime(str(folder), mod_catalog(), config=config, progress=lambda _: None) as runtime:
        prepare_constraints(runtime.loaded.tokenizer)  # as `concordance serve` does
        yield runtime


@pytest.fixture(name="client", scope="session")
def _client(gpt_oss):
    """A client of a server with this model."""
    context = ServerContext(models=OneModel(gpt_oss, gpt_oss.chat), mods=mod_catalog())
    return TestClient(create_app(context), base_url="http://127.0.0.1:8000")
