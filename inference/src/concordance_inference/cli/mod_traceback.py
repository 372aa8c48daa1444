"""The traceback of a mod that raised, for errors in the terminal."""

from concordance_shared import ModError

from concordance_inference.cli.server_client import ServerRefusedError
from concordance_inference.server.transport.mod_failures import own_traceback


def mod_traceback(exc: Exception) -> str | None:
    """Return the lines of a mod's own code that raised, here or on a server.

    `None` for other errors.
    """
    if isinstance(exc, ServerRefusedError):
        return exc.traceback
    return own_traceback(exc, includes_operators=True) if isinstance(exc, ModError) else None
