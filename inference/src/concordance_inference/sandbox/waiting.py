"""Waits for a lease: for tests, and for threads that may wait."""

import time

from concordance_inference.sandbox.lease import Lease
from concordance_inference.sandbox.outcomes import Outcome
from concordance_inference.sandbox.readiness import is_readable

#: Seconds between two looks at a worker that has closed its channel.
_POLL_S = 0.0005


def wait_for(lease: Lease) -> Outcome:
    """Wait for the next outcome of a lease, at most until its deadline."""
    while (outcome := lease.poll()) is None:
        block(lease)
    return outcome


def block(lease: Lease) -> None:
    """Wait until a lease may have an outcome, or for a second."""
    seconds = max(0.0, min(lease.deadline - time.monotonic(), 1.0)) + _POLL_S
    if lease.fileno() >= 0:
        is_readable(lease.fileno(), seconds)
    else:
        time.sleep(_POLL_S)
