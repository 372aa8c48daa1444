"""The socket that the server listens on."""

import socket

import pytest
from concordance_inference.cli.listener import cannot_listen, is_loopback, is_wildcard, listen


@pytest.mark.parametrize(
    ("host", "loopback", "wildcard"),
    [
        ("127.0.0.1", True, False),
        ("127.9.9.9", True, False),
        ("localhost", True, False),
        ("::1", True, False),
        ("0.0.0.0", False, True),
        ("::", False, True),
        ("192.168.0.2", False, False),
        ("example.com", False, False),
        ("", False, False),
        ("127.0.0.1.example.com", False, False),
        ("0", False, False),
    ],
)
def test_only_addresses_that_no_other_machine_reaches_are_loopback(host, loopback, wildcard):
    assert (is_loopback(host), is_wildcard(host)) == (loopback, wildcard)


def test_a_port_of_0_is_any_that_is_free_and_accepts_connections():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            assert port > 0


def test_an_address_in_use_is_an_error_that_names_it():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="in use") as error:
            listen("127.0.0.1", port)

    message = cannot_listen("127.0.0.1", port, error.value)
    assert message.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "choose another --port" in message
