"""Clients that close their sockets, on the real server over a tiny model: rows are freed."""

import json
import socket
import threading

import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import ModelInfo
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.runtime import Runtime
from concordance_inference.server import exchange
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from fake_engine import FakeChat
from families import build_model
from servers import eventually
from tiny import make_engine

INFO = ModelInfo(id="tiny", created=0, context_length=4096, vocab_size=257)


CONFIG = EngineConfig(max_rows=1, max_waiting=7)


FORCES = """
from concordance_sdk import ForwardPass, mod

@mod(on=[ForwardPass])
def forces(event, actions):
    if event.step == 0:
        return actions.force_tokens([97] * 2900)
"""


class TinyRuntime(Runtime):
    """The real runtime with a tiny model, which prefills in small chunks."""

    chat = FakeChat()

    def _build(self):
        return make_engine(build_model("llama"), max_rows=1, chunk=4), INFO

    def ended(self, request, completed):
        return completed  # the fake chat format remembers nothing


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory):
    """A server with one row: its engine, and connections to it."""
    mods = tmp_path_factory.mktemp("mods") / "forces.py"
    mods.write_text(FORCES)
    runtime = TinyRuntime(None, ModCatalog([mods]), config=CONFIG, progress=lambda _: None)
    with runtime.engine as engine:
        context = ServerContext(models=OneModel(runtime, runtime.chat), mods=runtime.mods)
        server = http_server(create_app(context), runtime.stop, grace_s=0.2)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            serving.start()
            engine.address = listener.getsockname()
            engine.serving, engine.requests = serving, context.running
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
def test_a_client_that_disconnects_during_a_forced_span_frees_its_row(server, stream):
    before = server.metrics().decode_tokens
    connection = begin(server, stream=stream, model="tiny/forces")
    eventually(lambda: server.metrics().decode_tokens > before)
    connection.close()

    eventually(lambda: running(server, 0))
    assert server.num_unfinished == 0
    assert server.metrics().decode_tokens < before + 2900


@pytest.mark.parametrize(("stream", "encoder"), [(True, "_encoded"), (False, "_encoded_whole")])
def test_a_client_that_disconnects_while_its_response_is_encoded_harms_no_other(
    server, monkeypatch, caplog, stream, encoder
):
    encode = getattr(exchange, encoder)
    encoding, may_end = threading.Event(), threading.Event()

    def slow(*arguments):
        if threading.current_thread() is not server.serving:  # a worker: the end of the request
            encoding.set()
            assert may_end.wait(10)
        return encode(*arguments)

    monkeypatch.setattr(exchange, encoder, slow)
    connection = begin(server, stream=stream, max_tokens=300, logprobs=True, top_logprobs=20)
    assert encoding.wait(20)
    connection.close()
    eventually(lambda: running(server, 0))
    with begin(server, stream=True, max_tokens=9) as other:
        assert other.recv(15) == b"HTTP/1.1 200 OK"
        may_end.set()
        while b"[DONE]" not in other.recv(65536):
            pass

    eventually(lambda: not server.requests.all())
    assert server.num_unfinished == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


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
