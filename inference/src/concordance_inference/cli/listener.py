"""The socket that the server listens on."""

import ipaddress
import socket

#: Connections that may wait to be accepted.
_BACKLOG = 2048


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine reaches."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_wildcard(host: str) -> bool:
    """True for addresses that stand for all addresses of the machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Bind an address and listen.

    Raises:
        OSError: The address is in use, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """Return why an address cannot be used, and what to do."""
    return (
        f"cannot listen on {host}:{port}: {error.strerror}; choose another --port (0 takes any "
        "that is free)"
    )
