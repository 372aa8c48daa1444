"""The keys that a server accepts: those of a file, which is read again when it changes."""

import hmac
import logging
import os
from pathlib import Path

from concordance_inference.keys.key import Key, digest_of
from concordance_inference.keys.key_file import KeyFileError, read_keys

logger = logging.getLogger(__name__)


class Keyring:
    """The keys of a file. Belongs to the event loop.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeyFileError: It cannot be used.
        """
        self.path = path
        self._state = self._stat()
        self._by_digest = {key.digest: key for key in read_keys(path)}
        self._is_needed = bool(self._by_digest)

    @property
    def num_valid(self) -> int:
        """The number of keys that have not expired."""
        self._refresh()
        return sum(not key.is_expired for key in self._by_digest.values())

    @property
    def is_needed(self) -> bool:
        """True if callers need a key: there is one, or was one in this run of the server.

        A server whose last key is revoked stays closed.
        """
        self._refresh()
        return self._is_needed

    def find(self, secret: str) -> Key | None:
        """Return the key of a secret, unless it is unknown, revoked or expired."""
        self._refresh()
        digest = digest_of(secret)
        key = self._by_digest.get(digest)
        if key is None or not hmac.compare_digest(key.digest, digest) or key.is_expired:
            return None
        return key

    def _refresh(self) -> None:
        """Read the file again after a change; one that cannot be read has no keys."""
        state = self._stat()
        if state == self._state:
            return
        self._state = state
        try:
            keys = read_keys(self.path)
        except KeyFileError as exc:
            logger.error(  # noqa: TRY400 - the message has the reason
                "%s; no key is accepted until it is repaired", exc
            )
            self._by_digest, self._is_needed = {}, True
            return
        self._by_digest = {key.digest: key for key in keys}
        self._is_needed = self._is_needed or bool(keys)

    def _stat(self) -> tuple[int, int, int, int] | None:
        """What changes with the file; each change by a command makes a new one."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - for each request
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
