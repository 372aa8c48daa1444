"""Limits of connections, heads, bodies and slow readers, on real sockets: both sides of each."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
from concordance_inference.generation import Started, TextDelta
from concordance_inference.server.app import create_app
from concordance_inference.server.context import ServerContext
from concordance_inference.server.limits import Limits
from concordance_inference.server.served_models import OneModel
from concordance_inference.server.transport.http_server import http_server
from fake_engine import FakeChat, FakeEngine, says
from sandboxes import mod_catalog
from servers import eventually

GET = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)
BODY = json.dumps({"model": "fake", "messages": [{"role": "user", "content": "hi"}]}).encode()

#: Longer than a test takes.
LONG_S = 60.0


@contextmanager
def serving(engine=None, **limits):
    """A server over a fake engine; yields a function that connects to it."""
    limits = Limits(**limits)
    models = OneModel(engine or FakeEngine(), FakeChat())
    context = ServerContext(models=models, mods=mod_catalog(), limits=limits)
    server = http_server(create_app(context), lambda: None, limits=limits, grace_s=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield lambda: socket.create_connection(listener.getsockname(), timeout=20)
        finally:
            server.should_exit = True
            thread.join(20)


def read_all(connection):
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def read_response(connection):
    """Read a response that has a length; return its status and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def refusal(connection):
    """The status and the error of what the server sends before it closes; also the headers."""
    head, _, body = read_all(connection).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"], head.decode().lower()


def sent_until_refused(connection, parts):
    """Send parts until there is a response; return its beginning."""
    connection.settimeout(0.02)
    for part in parts:
        connection.sendall(part)
        try:
            return connection.recv(4096)
        except TimeoutError:
            continue
    raise AssertionError("the server has read everything")


# Heads


def test_half_a_head_is_refused_after_the_time_limit():
    with serving(head_s=0.1) as connect, connect() as connection:
        connection.sendall(GET)
        status, error, head = refusal(connection)

    assert (status, error["code"]) == (408, "request_timeout")
    assert "0.1 s" in error["message"]
    assert "connection: close" in head
    assert "x-should-retry" not in head


def test_a_head_in_parts_within_the_time_limit_is_handled():
    with serving(head_s=LONG_S) as connect, connect() as connection:
        for part in (GET[:5], GET[5:], b"\r", b"\n"):
            connection.sendall(part)
        assert read_response(connection)[0] == 200


def test_a_head_that_arrives_byte_by_byte_has_no_more_time():
    with serving(head_s=0.3) as connect, connect() as connection:
        data = sent_until_refused(connection, [bytes([byte]) for byte in GET * 1000])

    assert data.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_silent_connection_is_closed_without_a_response(sent):
    with serving(head_s=0.1) as connect, connect() as connection:
        connection.sendall(sent)
        assert read_all(connection) == b""


def test_a_head_of_the_largest_size_is_handled_and_a_longer_one_refused():
    with serving(head_bytes=4096) as connect:
        for size, expected in ((4096, 200), (4097, 431)):
            with connect() as connection:
                padding = b"X-A: " + b"a" * (size - len(GET) - 5)
                connection.sendall(GET + padding)
                if expected == 200:
                    connection.sendall(b"\r\n\r\n")
                    assert read_response(connection)[0] == 200
                else:
                    assert refusal(connection)[0] == 431


# Bodies


def test_a_chunked_body_is_counted_while_it_arrives():
    def chunked(raw):
        return POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw)

    with serving(body_bytes=len(BODY)) as connect:
        for raw, expected in ((BODY, 200), (BODY + b" ", 413)):
            with connect() as connection:
                connection.sendall(chunked(raw))
                assert read_response(connection)[0] == expected


def test_a_body_that_stops_arriving_is_refused():
    with serving(body_idle_s=0.1) as connect, connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:10])
        status, body = read_response(connection)

    assert (status, body["error"]["code"]) == (408, "request_timeout")
    assert "no part of the body" in body["error"]["message"]


def test_a_body_that_arrives_in_small_parts_for_too_long_is_refused():
    with serving(body_idle_s=LONG_S, body_s=0.3) as connect, connect() as connection:
        connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        data = sent_until_refused(connection, [b" "] * 1000)

    assert data.startswith(b"HTTP/1.1 408")
    assert b"within 0.3 s" in data


def test_a_body_in_parts_within_the_time_limits_is_handled():
    with serving(body_idle_s=LONG_S, body_s=LONG_S) as connect, connect() as connection:
        connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(BODY))
        for byte in BODY:
            connection.sendall(bytes([byte]))
        assert read_response(connection)[0] == 200


def test_a_connection_whose_body_nothing_reads_is_closed():
    with serving(body_idle_s=0.1) as connect, connect() as connection:
        connection.sendall(GET + b"Content-Length: 10\r\n\r\n")
        assert read_response(connection)[0] == 200
        assert read_all(connection) == b""


@pytest.mark.parametrize("begin", [b"1;", b"1\r\n \r\n0\r\nX-A: "])
def test_chunks_and_trailers_without_end_are_refused(begin):
    with serving(head_bytes=1024) as connect, connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + begin)
        data = sent_until_refused(connection, [b"a" * 500] * 100)

    assert data.startswith(b"HTTP/1.1 431")


# Connections


def test_connections_above_the_limit_get_503_and_others_are_served():
    with serving(connections=2) as connect, connect() as first, connect() as second:
        for connection in (first, second):
            connection.sendall(GET + b"\r\n")
            assert read_response(connection)[0] == 200
        with connect() as third:
            third.sendall(GET + b"\r\n")
            status, error, head = refusal(third)
        first.sendall(GET + b"\r\n")
        assert read_response(first)[0] == 200
        second.close()

        def is_free():
            with connect() as fourth:
                fourth.sendall(GET + b"\r\n")
                return read_response(fourth)[0] == 200

        eventually(is_free)

    assert (status, error["code"]) == (503, "too_many_connections")
    assert "retry-after: 1" in head


def test_an_idle_connection_is_closed_after_its_time():
    with serving(keep_alive_s=0.1) as connect, connect() as connection:
        connection.sendall(GET + b"\r\n")
        assert read_response(connection)[0] == 200
        assert read_all(connection) == b""


def test_a_connection_is_used_again_within_its_time():
    with serving(keep_alive_s=LONG_S) as connect, connect() as connection:
        for _ in range(3):
            connection.sendall(GET + b"\r\n")
            assert read_response(connection)[0] == 200


# Slow readers


def endless_updates(request):
    yield Started(prompt_tokens=3)
    while True:
        yield 0.001
        yield TextDelta(text="a" * 20_000)


def stream(connect, *, streams=b"true", buffer_bytes=4096):
    connection = connect()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    raw = BODY[:-1] + b', "stream": %b}' % streams
    connection.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(raw) + raw)
    return connection


def test_the_request_of_a_client_that_reads_nothing_is_cancelled_and_others_run():
    engine = FakeEngine(
        lambda request: endless_updates(request) if request.stream else says("Hel", "lo")
    )
    with (
        serving(engine, stalled_s=0.3, client_buffer_bytes=4096) as connect,
        stream(connect),
        connect() as other,
    ):
        eventually(lambda: engine.requests)
        other.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        assert read_response(other)[0] == 200
        eventually(lambda: engine.cancelled)

    assert [each.stream for each in engine.cancelled] == [True]


def test_a_client_that_reads_slowly_is_served():
    engine = FakeEngine(says(*["a" * 20_000] * 100))
    with (
        serving(engine, stalled_s=LONG_S, client_buffer_bytes=4096) as connect,
        stream(connect, buffer_bytes=2**20) as connection,
    ):
        eventually(lambda: engine.requests)
        data = b""
        while b"data: [DONE]" not in data:
            data += connection.recv(65536)

    assert data.count(b"a" * 20_000) == 100
    assert not engine.cancelled


def test_the_connection_of_a_client_that_does_not_read_a_whole_response_is_reset():
    engine = FakeEngine(says("a" * 6_000_000))
    with (
        serving(engine, stalled_s=0.2, client_buffer_bytes=4096) as connect,
        stream(connect, streams=b"false") as connection,
    ):
        eventually(lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
