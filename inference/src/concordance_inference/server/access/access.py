"""Decides who a caller is, by the keys that it sends, and what it may do."""

import hmac
from collections.abc import Sequence

from concordance_shared import ForbiddenError, RequestError

from concordance_inference.caller import ALL_SCOPES, Caller, Scope
from concordance_inference.keys.key import Key, digest_of
from concordance_inference.keys.keyring import Keyring
from concordance_inference.server.access.attempts import Attempts
from concordance_inference.server.access.errors import AuthenticationError, TooManyAttemptsError

_HOW = "send it as `Authorization: Bearer <key>` or `x-api-key: <key>`"

_MISSING = f"this server needs a key: {_HOW}"

_WRONG = (
    "the key is not one of this server: it is mistyped, revoked or expired. The operator makes one "
    "with `concordance keys new`"
)

_MISSING_FOR_UPLOADS = (
    f"uploading and deleting mods needs this server's upload key: {_HOW}. `concordance keys "
    "upload` prints it; `concordance mods push` finds it by itself"
)

_WRONG_FOR_UPLOADS = (
    "the key is not this server's upload key, which uploading and deleting mods needs; "
    "`concordance keys upload` prints it"
)

#: What callers without a key may do where no key is needed. They see nothing that keys own.
_LOCAL = Caller(sees_all=False)
_LOCAL_WITHOUT_UPLOADS = Caller(sees_all=False, scopes=ALL_SCOPES - {"mods:write"})


class Access:
    """The rules of one server.

    keys       a caller needs a key, and has the scopes of its role
    no keys    on a loopback address: callers need none, and the upload key to upload mods
    neither    without arguments, as in a program of one's own: callers may do everything
    """

    def __init__(
        self,
        keyring: Keyring | None = None,
        *,
        upload_key: str | None = None,
        shares_prefixes: bool = False,
        shows_pages: bool = False,
    ) -> None:
        """Make the rules.

        Args:
            keyring: The keys; `None` if there can be none.
            upload_key: The key of uploads while there are no others; `None`: no caller uploads.
            shares_prefixes: Requests of all keys share cached prefixes.
            shows_pages: Callers without a key get the pages, which have no data.
        """
        self._keyring = keyring
        self._upload_digest = digest_of(upload_key) if upload_key else None
        self._attempts = Attempts()
        self._shares_prefixes = shares_prefixes
        self.shows_pages = shows_pages

    @property
    def needs_key(self) -> bool:
        """True if callers need a key."""
        return self._keyring is not None and self._keyring.is_needed

    def caller(self, secrets: Sequence[str]) -> Caller | None:
        """Return who sends one of these secrets; `None` if the server knows none of them."""
        if self._keyring is None:
            return _LOCAL
        if not self._keyring.is_needed:
            has_key = any(map(self._is_upload_key, secrets))
            return _LOCAL if has_key else _LOCAL_WITHOUT_UPLOADS
        found = (self._keyring.find(secret) for secret in secrets)
        key = next((each for each in found if each is not None), None)
        return None if key is None else self._caller_of(key)

    def refusal(self, address: str, *, has_key: bool) -> RequestError:
        """Return the error of a caller that is not known, or not known to be allowed to upload.

        Args:
            address: Where the request comes from.
            has_key: It has a key, which is wrong. A caller that has none guesses nothing.
        """
        if has_key:
            try:
                self._attempts.fail(address)
            except TooManyAttemptsError as exc:
                return exc
        if self.needs_key:
            return AuthenticationError(_WRONG if has_key else _MISSING)
        return AuthenticationError(_WRONG_FOR_UPLOADS if has_key else _MISSING_FOR_UPLOADS)

    def _is_upload_key(self, secret: str) -> bool:
        digest = self._upload_digest
        return digest is not None and hmac.compare_digest(digest, digest_of(secret))

    def _caller_of(self, key: Key) -> Caller:
        return Caller(
            owner=key.owner,
            key_id=key.id,
            scopes=key.scopes,
            sees_all="admin" in key.scopes,
            prefix_space="" if self._shares_prefixes else key.owner,
        )


def lacks_scope(caller: Caller, scope: Scope) -> ForbiddenError:
    """Return the error of a caller whose key does not allow what it asks for."""
    has = ", ".join(sorted(caller.scopes - {"page"}))
    return ForbiddenError(
        f"the key {caller.key_id!r} has the scopes {has}; this request needs {scope!r}. The "
        "operator makes keys with `concordance keys new`"
    )
