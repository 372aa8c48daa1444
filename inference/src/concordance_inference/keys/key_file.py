"""The file of keys: JSON that commands change, and that a running server reads again."""

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from concordance_shared import ConcordanceError, RequestError
from msgspec import Struct

from concordance_inference.keys.key import Key
from concordance_inference.keys.private_file import PRIVATE, others_can_write, write_private

#: Version of the file's form.
_VERSION = 1


class KeyFileError(ConcordanceError):
    """A file of keys cannot be used."""

    code = "key_file_invalid"


class UnknownKeyError(RequestError):
    """There is no key of an id."""

    status_code = 404
    type = "not_found_error"
    code = "key_not_found"


class _Contents(Struct, kw_only=True, forbid_unknown_fields=True):
    version: int = _VERSION
    keys: list[Key] = []


def read_keys(path: Path) -> list[Key]:
    """Read the keys of a file, including expired ones; none if it does not exist.

    Raises:
        KeyFileError: It cannot be read, is no file of keys, or others may change it.
    """
    try:
        raw = path.read_bytes()
        is_open = others_can_write(path)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise KeyFileError(f"the keys in {path} cannot be read: {exc.strerror}") from exc
    if is_open:
        raise KeyFileError(
            f"other users of this machine may change {path}, and add keys of their own; run "
            f"`chmod 600 {path}`"
        )
    try:
        contents = msgspec.json.decode(raw, type=_Contents)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise KeyFileError(f"{path} is no file of keys: {exc}") from exc
    if contents.version != _VERSION:
        raise KeyFileError(
            f"{path} has the version {contents.version}; this version of Concordance reads "
            f"{_VERSION}"
        )
    return contents.keys


def add_key(path: Path, key: Key) -> None:
    """Add a key to a file, which is made if it does not exist.

    Raises:
        KeyFileError: It cannot be read or written.
    """
    with _locked(path):
        _write(path, [*read_keys(path), key])


def revoke_keys(path: Path, ids: Sequence[str]) -> list[Key]:
    """Remove keys from a file; return those that are left.

    Raises:
        UnknownKeyError: There is no such key; none is removed.
        KeyFileError: The file cannot be read or written.
    """
    with _locked(path):
        keys = read_keys(path)
        known = {key.id for key in keys}
        if unknown := [each for each in ids if each not in known]:
            raise UnknownKeyError(
                f"there is no key {', '.join(map(repr, unknown))} in {path}; `concordance keys "
                "list` lists them"
            )
        left = [key for key in keys if key.id not in ids]
        _write(path, left)
        return left


def _write(path: Path, keys: Sequence[Key]) -> None:
    data = msgspec.json.format(msgspec.json.encode(_Contents(keys=[*keys])))
    try:
        write_private(path, data + b"\n")
    except OSError as exc:
        raise KeyFileError(f"the keys in {path} cannot be written: {exc.strerror}") from exc


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Keep other commands from changing the file meanwhile.

    Raises:
        KeyFileError: The folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, PRIVATE)
    except OSError as exc:
        raise KeyFileError(f"the keys in {path} cannot be written: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
