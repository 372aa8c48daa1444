"""Bytes that are not HTTP, on real sockets."""

import json
import socket
import threading

import pytest
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.limits import Limits
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from fake_engine import FakeChat, FakeEngine
from sandboxes import mod_catalog
from servers import eventually

POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


@pytest.fixture(name="engine")
def _engine():
    return FakeEngine()


@pytest.fixture(name="limits")
def _limits():
    return Limits()


@pytest.fixture(name="connect")
def _connect(engine, limits):
    """Connections to a server over a fake engine."""
    models = OneModel(engine, FakeChat())
    context = ServerContext(models=models, mods=mod_catalog(), limits=limits)
    server = http_server(create_app(context), lambda: None, limits=limits, grace_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        serving.start()
        yield lambda: socket.create_connection(listener.getsockname(), timeout=20)
        server.should_exit = True
        serving.join(20)


def read_all(connection):
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def response_to(connect, sent):
    """The status line, the headers and the body of the only response; the server closes."""
    with connect() as connection:
        connection.sendall(sent)
        head, _, rest = read_all(connection).partition(b"\r\n\r\n")
    return head.decode().lower(), json.loads(rest)["error"]


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"GET /v1/models HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
        POST + b"Content-Length: x\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        POST + b"Transfer-Encoding: chunked\r\n\r\nnot a size\r\n",
    ],
)
def test_what_is_not_http_gets_an_error_as_json(connect, sent):
    head, error = response_to(connect, sent)

    assert head.startswith("http/1.1 400")
    assert "content-type: application/json" in head
    assert "x-should-retry: false" in head
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    assert "not HTTP/1.1" in error["message"]


def test_a_head_without_end_is_refused(connect):
    head, error = response_to(
        connect, b"GET / HTTP/1.1\r\nX-A: " + b"a" * (Limits().head_bytes + 1)
    )

    assert head.startswith("http/1.1 431")
    assert str(Limits().head_bytes) in error["message"]


def test_a_long_body_is_not_a_long_head(connect):
    sent = POST + b"Content-Length: 200000\r\nConnection: close\r\n\r\n" + b" " * 200000
    head, error = response_to(connect, sent)

    assert head.startswith("http/1.1 400")
    assert "not JSON" in error["message"]


def test_a_content_length_above_the_limit_is_refused_before_the_body_arrives(connect):
    sent = POST + b"Content-Length: 99999999999\r\nConnection: close\r\n\r\n"
    head, error = response_to(connect, sent)

    assert head.startswith("http/1.1 413")
    assert error["code"] == "request_too_large"


@pytest.mark.parametrize("limits", [Limits(body_idle_s=0.1)])
def test_a_body_shorter_than_its_content_length_is_refused_after_a_time(connect):
    sent = POST + b"Content-Length: 10\r\nConnection: close\r\n\r\n{}"
    head, error = response_to(connect, sent)

    assert head.startswith("http/1.1 408")
    assert "Content-Length" in error["message"]


def test_bytes_that_are_not_http_do_not_get_into_a_running_response(connect, engine):
    raw = json.dumps(
        {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    ).encode()
    engine.updates = [*engine.updates[:2], 30.0]
    with connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(raw) + raw)
        data = b""
        while b'"content":"Hel"' not in data:
            data += connection.recv(65536)
        connection.sendall(b"nonsense\r\n\r\n")
        data += read_all(connection)

    assert b"HTTP/1.1 400" not in data
    eventually(lambda: len(engine.cancelled) == 1)
