"""Clients that close their sockets, on the real server over a tiny model: rows are freed."""

import json
import socket
import threading

import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import ModelInfo
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.http_server import http_server
from concordance_inference.server.served_models import OneModel
from fake_engine import FakeChat
from families import build_model
from servers import eventually
from tiny import make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


CONFIG = EngineConfig(max_rows=1, max_waiting=7)


class TinyRuntime(Runtime):
    """The real runtime with a tiny model, which prefills in small chunks."""

    def _build(self):
        return make_engine(build_model("llama"), max_rows=1, chunk=4), INFO


@pytest.fixture(name="server", scope="module")
def _server():
    """A server with one row: its engine, and connections to it."""

    runtime = TinyRuntime(None, ModCatalog(), config=CONFIG, progress=lambda _: None)
    with runtime.engine as engine:
        context = ServerContext(models=OneModel(runtime, FakeChat()), mods=runtime.mods)
        server = http_server(create_app(context), runtime.stop, grace_s=0.2)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            serving.start()
            engine.address = listener.getsockname()
            yield engine
            server.should_exit = True
            serving.join(20)


def begin(engine, *, stream, prompt="hi", **fields):
    """Send a request on a connection of its own."""
    body = json.dumps(
        {
            "model": "tiny",
            "messages": [{"role": "user", "content": prompt}],
            "stream": stream,
            "max_tokens": 3000,
            "ignore_eos": True,
            **fields,
        }
    ).encode()
    connection = socket.create_connection(engine.address, timeout=20)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    return connection


def running(engine, num_running, num_waiting=0):
    metrics = engine.metrics()
    return (metrics.running, metrics.waiting) == (num_running, num_waiting)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_while_tokens_are_decoded_frees_its_row(server, stream):
    connection = begin(server, stream=stream)
    eventually(lambda: running(server, 1))
    before = server.metrics().decode_tokens
    eventually(lambda: server.metrics().decode_tokens > before)
    connection.close()

    eventually(lambda: running(server, 0))
    assert server.num_unfinished == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_during_the_prefill_frees_its_row(server, stream):
    before = server.metrics().prefill_tokens
    connection = begin(server, stream=stream, prompt="x" * 2000 + str(stream))
    eventually(lambda: server.metrics().prefill_tokens > before)
    connection.close()

    eventually(lambda: running(server, 0))
    assert server.num_unfinished == 0


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_while_it_waits_leaves_the_queue(server, stream):
    first = begin(server, stream=True)
    eventually(lambda: running(server, 1))
    waiting = begin(server, stream=stream)
    eventually(lambda: running(server, 1, num_waiting=1))
    waiting.close()

    eventually(lambda: running(server, 1))
    first.close()
    eventually(lambda: running(server, 0))
