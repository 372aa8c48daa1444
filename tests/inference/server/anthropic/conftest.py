import anthropic
import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient


class RecordingChat(FakeChat):
    """Also records messages and tools."""

    def render(self, messages, tools=(), *options, **named):
        self.messages, self.tools = messages, tools
        return super().render(messages, tools, *options, **named)


@pytest.fixture(name="api")
def _api():
    """The official client of an application over a fake engine, which it has as attributes."""

    def make(updates=None, chat=None):
        engine, chat = FakeEngine(updates), chat or RecordingChat()
        context = ServerContext(models=OneModel(engine, chat), mods=mod_catalog())
        app = create_app(context)
        http = TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)
        client = anthropic.Anthropic(
            base_url="http://127.0.0.1:8000", api_key="k", http_client=http, max_retries=0
        )
        client.engine, client.chat, client.http = engine, chat, http
        return client

    return make
