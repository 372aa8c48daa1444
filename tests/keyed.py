"""Applications whose callers need keys."""

from concordance_inference.keys.key import new_key
from concordance_inference.keys.key_file import add_key
from concordance_inference.keys.keyring import Keyring
from concordance_inference.server.access.access import Access
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from starlette.testclient import TestClient

URL = "http://127.0.0.1:8000"
CHAT = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
SOURCE = """
from concordance_sdk import mod

@mod
class say:
    '''{0}'''

    def forward_pass(self, event, actions, tokenizer):
        return actions.force_output(tokenizer.encode("{0}"))
"""


def upload(name="hello", text="hello"):
    return {"name": name, "entrypoint": "say", "source": SOURCE.format(text)}


class KeyedServer:
    """An application over an engine, its file of keys, and a client for each key."""

    def __init__(self, path, engine=None, chat=None, *, access=None, **fields):
        self.path = path
        self.engine = engine or FakeEngine()
        self.keyring = Keyring(path)
        self.context = ServerContext(
            models=OneModel(self.engine, chat or FakeChat()),
            mods=mod_catalog(),
            access=access or Access(self.keyring),
            **fields,
        )
        self.app = create_app(self.context)

    def key(self, role="infer", **fields):
        """Make a key; return it and its secret."""
        key, secret = new_key(role, **fields)
        add_key(self.path, key)
        return key, secret

    def client(self, secret=None, **headers):
        """A client that sends a key."""
        given = {"Authorization": f"Bearer {secret}"} if secret else {}
        return TestClient(
            self.app, base_url=URL, headers={**given, **headers}, raise_server_exceptions=False
        )

    def of(self, role="infer", **fields):
        """A client with a new key."""
        return self.client(self.key(role, **fields)[1])
