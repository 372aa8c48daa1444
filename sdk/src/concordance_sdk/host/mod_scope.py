"""Identifies the mod on whose behalf code runs, for the output and the logs of mods."""

from contextvars import ContextVar

_current: ContextVar["ModScope | None"] = ContextVar("concordance_mod", default=None)


class ModScope:
    """One mod at work for one request. It lives as long as the mod's instance.

    Attributes:
        mod: The name of the mod.
        request_id: The request, as logs name it; may be empty.
    """

    def __init__(self, mod: str, request_id: str) -> None:
        """Identify a mod and a request."""
        self.mod = mod
        self.request_id = request_id


def current_mod() -> ModScope | None:
    """The mod whose handler, `__init__` or `prepare` runs; `None` outside of a mod."""
    return _current.get()


def set_current_mod(scope: ModScope) -> None:
    """Make a mod the current one for all that runs in this `contextvars.Context`."""
    _current.set(scope)
