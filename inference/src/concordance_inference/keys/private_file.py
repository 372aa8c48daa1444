"""Files that only their owner reads, replaced as a whole: a crash leaves the old or the new one."""

import contextlib
import os
import secrets
from pathlib import Path

#: Reading and writing by the owner alone.
PRIVATE = 0o600


def write_private(path: Path, data: bytes, *, replaces: bool = True) -> None:
    """Write a file that only its owner reads.

    Args:
        path: The file.
        data: Its contents.
        replaces: Replace a file that exists.

    Raises:
        FileExistsError: It exists, and is not replaced.
        OSError: It cannot be written; a file that exists is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_new(part, data)
        if replaces:
            part.replace(path)
        else:
            os.link(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    _sync(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:  # for the user of the server, whose folder it is
            folder = path.parent.stat()
            os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Write the folder's entries to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def others_can_write(path: Path) -> bool:
    """True if other users of the machine may change a file."""
    return bool(path.stat().st_mode & 0o022)
