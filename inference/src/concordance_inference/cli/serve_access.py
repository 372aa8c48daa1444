"""Who may use the server that `concordance serve` starts."""

import re
import sys
from typing import TYPE_CHECKING

from concordance_inference.cli.keys import key_file_of
from concordance_inference.cli.listener import is_loopback
from concordance_inference.cli.options import Serve
from concordance_inference.cli.settings_file import SettingsError
from concordance_inference.keys.key_file import KeyFileError
from concordance_inference.keys.keyring import Keyring
from concordance_inference.keys.upload_key import made_upload_key, upload_key_path

if TYPE_CHECKING:
    from concordance_inference.server.access.access import Access

#: An origin, as browsers write it.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")


def keyring_of(options: Serve) -> Keyring:
    """Return the keys of the server.

    Raises:
        SettingsError: The file of keys cannot be used; or other machines reach the address, and
            there is no key.
    """
    try:
        keyring = Keyring(key_file_of(options.key_file))
    except (KeyFileError, RuntimeError) as exc:
        raise SettingsError(str(exc)) from exc
    if fault := fault_of_address(options.host, keyring):
        raise SettingsError(fault)
    return keyring


def fault_of_address(host: str, keyring: Keyring) -> str | None:
    """Return why a server with these keys cannot listen on an address, and what to do."""
    if is_loopback(host) or keyring.num_valid:
        return None
    what = "all keys have expired" if keyring.is_needed else "there is no key"
    return (
        f"--host {host} is not a loopback address: other machines could use the server, and {what} "
        f"in {keyring.path}. Make one with `concordance keys new admin`, or listen on 127.0.0.1"
    )


def access_of(options: Serve, keyring: Keyring) -> "Access":
    """Return the rules of the server; without keys, make the key of uploads."""
    from concordance_inference.server.access.access import Access

    return Access(
        keyring,
        upload_key=None if keyring.is_needed else _upload_key(),
        shares_prefixes=options.share_prefixes,
        shows_pages=options.public_pages,
    )


def _upload_key() -> str | None:
    try:
        return made_upload_key()
    except (OSError, RuntimeError) as exc:
        print(
            f"concordance: the key of uploads cannot be kept ({exc}), so this server accepts none; "
            "name a folder in CONCORDANCE_STATE that can be written",
            file=sys.stderr,
        )
        return None


def origins_of(options: Serve) -> frozenset[str]:
    """Return the origins of pages that may use the server.

    Raises:
        SettingsError: One is no origin.
    """
    for origin in options.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"--cors-origins {origin!r:.80} is no origin; write it as a browser does, in lower "
                "case and without a path: https://example.com"
            )
    return frozenset(options.cors_origins)


def hosts_of(options: Serve, address: str) -> frozenset[str]:
    """Return the names that the header `Host` may have, besides the usual loopback names.

    Args:
        options: The options.
        address: Where the server listens.

    Raises:
        SettingsError: One is no name of a host.
    """
    for host in options.allowed_hosts:
        if not re.fullmatch(r"[a-z0-9.-]+|[0-9a-f]*:[0-9a-f]*:[0-9a-f:]*", host):
            raise SettingsError(
                f"--allowed-hosts {host!r:.80} is no name of a host; write it in lower case, "
                "without a port: example.com"
            )
    return frozenset({address, *options.allowed_hosts})


def check_names(options: Serve) -> None:
    """Refuse wrong names of origins and hosts.

    Raises:
        SettingsError: One is wrong.
    """
    origins_of(options)
    hosts_of(options, options.host)


def described_access(keyring: Keyring) -> str:
    """Return who may use the server, for the announcement."""
    if keyring.is_needed:
        return f"keys   {keyring.num_valid} in {keyring.path}"
    return f"keys   none; the key of uploads is in {upload_key_path()}"
