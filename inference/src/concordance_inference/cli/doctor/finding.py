"""The result of a check."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

from concordance_shared import ConcordanceError
from msgspec import Struct, field

from concordance_inference.cli.options import Doctor

#: A problem would stop `serve`; a note is worth knowing.
Status = Literal["ok", "note", "problem"]


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found."""

    check: str
    status: Status
    text: str  # what is there; what to do about it, unless it is ok
    data: dict[str, Any] = field(default_factory=dict[str, Any])


Check = Callable[[Doctor], Iterator[Finding]]


def ok(check: str, text: str, **data: Any) -> Finding:
    """Make a finding of something that is as it should be."""
    return Finding(check=check, status="ok", text=text, data=data)


def note(check: str, text: str, **data: Any) -> Finding:
    """Make a finding that does not stop `serve`."""
    return Finding(check=check, status="note", text=text, data=data)


def problem(check: str, text: str, **data: Any) -> Finding:
    """Make a finding that stops `serve`."""
    return Finding(check=check, status="problem", text=text, data=data)


def findings(check: Check, options: Doctor) -> Iterator[Finding]:
    """Run a check. One that raises is a problem, not the end of the doctor."""
    name = check.__name__
    try:
        yield from check(options)
    except (ConcordanceError, OSError) as exc:
        yield problem(name, str(exc))
    except Exception as exc:
        yield problem(name, f"the check failed: {type(exc).__name__}: {exc}")


def gigabytes(num_bytes: float) -> str:
    """Format a number of bytes."""
    if num_bytes < 1e6:
        return f"{num_bytes / 1e3:.0f} kB"
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"
