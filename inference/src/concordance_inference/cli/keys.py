"""`concordance keys`: makes, lists and revokes keys."""

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError

from concordance_inference.cli.options import ListKeys, NewKey, RevokeKeys
from concordance_inference.keys.key import OWNER, Key, new_key
from concordance_inference.keys.key_file import add_key, read_keys, revoke_keys
from concordance_inference.keys.state_folder import usual_key_file
from concordance_inference.keys.upload_key import found_upload_key, upload_key_path

#: The longest label, in characters.
_MAX_LABEL = 200


def new(options: NewKey) -> None:
    """Print a new key to standard output, and what it is for to standard error.

    Raises:
        InvalidRequestError: The owner or the label cannot be one.
        KeyFileError: The file cannot be written.
    """
    _check(options)
    path = key_file_of(options.key_file)
    key, secret = new_key(options.role, owner=options.owner, label=options.label, days=options.days)
    add_key(path, key)
    print(secret)
    until = f", until {_date(key.expires)}" if key.expires else ""
    print(
        f"{key.id}: a key for {key.role}{until}, owner {key.owner}. It is shown this once; {path} "
        "has its SHA-256. Clients send it as `Authorization: Bearer`, commands find it in "
        "CONCORDANCE_API_KEY",
        file=sys.stderr,
    )


def list_(options: ListKeys) -> None:
    """Print one line for each key, the oldest first.

    Raises:
        KeyFileError: The file cannot be read.
    """
    path = key_file_of(options.key_file)
    keys = read_keys(path)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode([_described(key) for key in keys])).decode())
        return
    for key in keys:
        print("  ".join(_columns(key)).rstrip())
    if not keys:
        print(f"no keys in {path}; `concordance keys new` makes one", file=sys.stderr)


def revoke(options: RevokeKeys) -> None:
    """Remove keys from the file.

    Raises:
        UnknownKeyError: There is no such key; none is removed.
        KeyFileError: The file cannot be read or written.
    """
    path = key_file_of(options.key_file)
    left = revoke_keys(path, options.ids)
    print(f"revoked {', '.join(options.ids)}; {len(left)} left", file=sys.stderr)
    if not left:
        print(
            "no key is left: a running server refuses everyone, and one that is started on a "
            "loopback address takes requests without a key",
            file=sys.stderr,
        )


def upload() -> None:
    """Print the key of uploads.

    Raises:
        InvalidRequestError: No server has made it yet.
    """
    secret = found_upload_key()
    if secret is None:
        raise InvalidRequestError(
            f"{upload_key_path()} has no key; `concordance serve` makes it when it is first "
            "started without keys"
        )
    print(secret)


def key_file_of(given: Path | None) -> Path:
    """Return the file of keys: the given one, or the usual one."""
    return given or usual_key_file()


def _check(options: NewKey) -> None:
    if options.owner is not None and not re.fullmatch(OWNER, options.owner):
        raise InvalidRequestError(
            f"--owner {options.owner!r:.80}: an owner has 1 to 64 of the characters a-z, 0-9, _, . "
            "and -, and begins with a letter or a digit"
        )
    if len(options.label) > _MAX_LABEL or not (options.label or "x").isprintable():
        raise InvalidRequestError(
            f"--label: write up to {_MAX_LABEL} printable characters, without line breaks"
        )


def _described(key: Key) -> dict[str, Any]:
    fields = msgspec.structs.asdict(key)
    del fields["digest"]
    return fields | {"scopes": sorted(key.scopes - {"page"}), "is_expired": key.is_expired}


def _columns(key: Key) -> list[str]:
    until = "never expires"
    if key.expires is not None:
        until = f"{'expired' if key.expires <= time.time() else 'expires'} {_date(key.expires)}"
    return [
        key.id,
        f"{key.role:<10}",
        f"{key.owner:<14}",
        f"made {_date(key.created)}",
        f"{until:<18}",
        key.label,
    ]


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
