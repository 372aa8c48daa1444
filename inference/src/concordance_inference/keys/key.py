"""A key: a secret that a caller sends, and what the server keeps of it."""

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from concordance_inference.caller import ALL_SCOPES, Scope

#: What a key is for. Each role has the scopes that it needs.
Role = Literal["infer", "mods:write", "admin", "metrics"]

SCOPES: Mapping[Role, frozenset[Scope]] = {
    "infer": frozenset({"page", "infer"}),
    "mods:write": frozenset({"page", "infer", "mods:write"}),
    "admin": ALL_SCOPES,
    "metrics": frozenset({"metrics"}),
}

#: Names of owners, which are also parts of ids.
OWNER = r"[a-z0-9][a-z0-9_.-]{0,63}"

#: A secret, wherever it is in a text: `ck_<role>_<43 characters of base64url>`.
SECRET = re.compile(r"ck_[a-z]+_[A-Za-z0-9_-]{43}")

_SECONDS_PER_DAY = 86_400


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key as it is stored: without its secret.

    Attributes:
        id: Its name in logs and commands.
        role: What it is for.
        digest: The SHA-256 of the secret, in hexadecimal digits. A secret has 256 random bits, so
            that a slow hash would protect nothing more.
        owner: Who owns what its requests make. Keys with one owner see the same.
        label: What people call it.
        created: When it was made, in Unix time.
        expires: When it stops to be valid; `None`: never.
    """

    id: Annotated[str, Meta(pattern=f"^{OWNER}$")]
    role: Role
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    owner: Annotated[str, Meta(pattern=f"^{OWNER}$")]
    label: str = ""
    created: float = 0.0
    expires: float | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        """What its caller may do."""
        return SCOPES[self.role]

    @property
    def is_expired(self) -> bool:
        """True if it is no longer valid."""
        return self.expires is not None and self.expires <= time.time()


def new_secret(role: Role) -> str:
    """Return a new secret."""
    return f"ck_{role.partition(':')[0]}_{secrets.token_urlsafe(32)}"


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, in hexadecimal digits.

    Examples:
        >>> digest_of("a")[:8]
        'ca978112'
    """
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()


def new_key(
    role: Role, *, owner: str | None = None, label: str = "", days: float | None = None
) -> tuple[Key, str]:
    """Make a key.

    Args:
        role: What it is for.
        owner: Owns what its requests make; by default, this key alone.
        label: What people call it.
        days: Days for which it is valid; `None`: for ever.

    Returns:
        What is kept of it, and its secret, which cannot be found out later.
    """
    secret, now = new_secret(role), time.time()
    key_id = f"k{secrets.token_hex(6)}"
    key = Key(
        id=key_id,
        role=role,
        digest=digest_of(secret),
        owner=owner or key_id,
        label=label,
        created=now,
        expires=None if days is None else now + days * _SECONDS_PER_DAY,
    )
    return key, secret


def without_secrets(text: str) -> str:
    """Replace the secrets in a text, for logs.

    Examples:
        >>> without_secrets("GET /ck_infer_" + 43 * "a")
        'GET /ck_...'
    """
    return SECRET.sub("ck_...", text) if "ck_" in text else text
