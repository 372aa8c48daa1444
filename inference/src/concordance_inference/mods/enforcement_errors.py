"""The errors of the mods that enforce what a request asks of its completion."""

from typing import Protocol

from concordance_sdk import Added
from concordance_shared import ConstraintError, InvalidRequestError, SchemaError


class Enforced(Protocol):
    """A format, as far as messages are concerned."""

    @property
    def field(self) -> str:
        """The top-level field of the request."""
        ...

    @property
    def param(self) -> str:
        """The field of the request, with its path."""
        ...

    @property
    def is_json(self) -> bool:
        """True if it is enforced by a JSON Schema."""
        ...


def refusal(output: Enforced, exc: Exception) -> SchemaError | InvalidRequestError:
    """Return the error of a request whose format cannot be enforced.

    Args:
        output: The format.
        exc: Why it cannot; an error that names its place already is returned as it is.
    """
    if isinstance(exc, SchemaError) and exc.param:
        return exc
    message = f"{output.param}: {exc}"
    if not output.is_json:
        return InvalidRequestError(message, param=output.param)
    return SchemaError(message, param=output.param, mod=output.field, event="prepare", step=0)


def violation(exc: ConstraintError, event: Added, field: str) -> ConstraintError:
    """Return the error of tokens that a format does not allow, which a mod forced.

    Args:
        exc: What the constraint reports.
        event: The tokens.
        field: The field of the request that has the format.
    """
    what = exc.message
    if event.forced:
        what, _, _ = what.partition("; a mod that forces")
        what += f"; a mod of the request forced it: leave out that mod, or {field}"
    return ConstraintError(
        f"{field}: {what}", param=field, mod=field, event="Added", step=event.step
    )
