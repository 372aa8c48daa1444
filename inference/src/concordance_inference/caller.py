"""The caller of the present request: it owns what the request makes, and limits what it finds."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from msgspec import Struct

#: What a caller may do.
#:
#:     page        load the pages, which have no data
#:     infer       generate, and see and control what is their own
#:     mods:write  upload and delete mods
#:     metrics     read the metrics of the whole server
#:     admin       load models, share mods, and see and control what others own
Scope = Literal["page", "infer", "mods:write", "metrics", "admin"]

ALL_SCOPES: frozenset[Scope] = frozenset({"page", "infer", "mods:write", "metrics", "admin"})


class Caller(Struct, frozen=True, kw_only=True):
    """The client that a request is for; by default the process itself, which may do everything.

    Attributes:
        owner: Owns what the request makes: the owner of its key; empty without keys.
        key_id: The id of its key, for logs.
        scopes: What it may do.
        sees_all: It also finds what others own.
        prefix_space: Cached prefixes are shared within it.
    """

    owner: str = ""
    key_id: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    sees_all: bool = True
    prefix_space: str = ""

    def sees(self, owner: str) -> bool:
        """True if it finds what an owner has."""
        return self.sees_all or self.owner == owner


_PROCESS = Caller()

_CALLER: ContextVar[Caller] = ContextVar("caller", default=_PROCESS)


def current_caller() -> Caller:
    """Return the caller of the present request, also on background threads."""
    return _CALLER.get()


def current_owner() -> str:
    """Return the owner of what the present request makes."""
    return _CALLER.get().owner


def current_prefix_space() -> str:
    """Return the space in which the present request finds cached prefixes."""
    return _CALLER.get().prefix_space


def is_own(owner: str) -> bool:
    """True if something belongs to the present caller, also if that is an admin.

    Args:
        owner: Whose it is.
    """
    return owner == current_owner()


def may_see(owner: str) -> bool:
    """True if the present request may find what an owner has."""
    return _CALLER.get().sees(owner)


def owned_ids(name: str) -> Sequence[str]:
    """Return the ids that a request of the present owner may have, by a name for it.

    An id that a client has chosen ends with `@` and its owner; one that the server made does not.
    """
    owner = current_owner()
    return (name, f"{name}@{owner}") if owner else (name,)


def set_caller(caller: Caller) -> None:
    """Set the caller of the present request. Each request has a context of its own."""
    _CALLER.set(caller)


@contextmanager
def calling(caller: Caller) -> Generator[None]:
    """Run the block for a caller."""
    token = _CALLER.set(caller)
    try:
        yield
    finally:
        _CALLER.reset(token)
