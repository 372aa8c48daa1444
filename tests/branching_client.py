"""A server with a tiny model whose completions the tests choose."""

from contextlib import contextmanager

from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from sandboxes import mod_catalog
from starlette.testclient import TestClient
from tool_folders import write_byte_folder

SPEAKS = '''
from concordance_sdk import mod


@mod(name="speaks", max_backtrack=0)
class Speaks:
    """Lets the model sample the tokens of a text, whatever it is asked."""

    text: str

    def forward_pass(self, event, actions, tokenizer):
        ids = [*tokenizer.encode(self.text), min(tokenizer.eos_token_ids)]
        mask = bytearray(1 + tokenizer.vocab_size // 8)
        token_id = ids[min(event.step, len(ids) - 1)]
        mask[token_id // 8] |= 1 << token_id % 8
        return actions.adjust_logits(mask=bytes(mask))
'''


@contextmanager
def branch_client(folder, **context):
    """Serve a tiny model and the mod `speaks`; a client with `model` and `runtime`.

    Args:
        folder: An empty folder.
        context: Fields of the `ServerContext`.
    """
    model = write_byte_folder(folder / "tiny")
    (folder / "speaks.py").write_text(SPEAKS)
    catalog = mod_catalog([folder / "speaks.py"])
    with Runtime(str(model), catalog, progress=lambda _: None) as runtime:
        served = OneModel(runtime, runtime.chat)
        client = TestClient(
            create_app(ServerContext(models=served, mods=catalog, **context)),
            base_url="http://127.0.0.1:8000",
        )
        client.model = runtime.model.id
        client.runtime = runtime
        yield client
