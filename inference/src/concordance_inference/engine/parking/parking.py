"""The parked calls of an engine."""

import select
import time
from typing import cast

from concordance_inference.engine.parking.calls import RequestCalls
from concordance_inference.suspension import Awaited

#: Time that a step waits for late answers, in seconds, while a request has patience left.
GRACE_S = 0.002
#: Time that a step without other work waits for an answer, in seconds; new requests wait as long.
IDLE_S = 0.005


class Parking:
    """Continues parked calls when their answers arrive. No step waits long for them.

    A call whose answer is late has no token in this step; its request takes part again once the
    answer is there. Waiting is worth a grace while the device computes, but a request that is
    late in each step would delay the others in each, so its patience is limited.
    """

    def __init__(self) -> None:
        """Start without parked calls."""
        self._calls: dict[RequestCalls, None] = {}  # in the order of their arrival

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, calls: RequestCalls) -> None:
        """Wait for an answer."""
        self._calls[calls] = None

    def discard(self, calls: RequestCalls) -> None:
        """Wait no longer; calls that are not parked are ignored."""
        self._calls.pop(calls, None)

    def collect(self, *, is_idle: bool = False) -> None:
        """Continue the calls whose answers arrive now, or within the grace.

        Args:
            is_idle: True if the step has nothing else to do.
        """
        if not self._calls:
            return
        if self._proceed(0.0) and is_idle:
            return
        start = time.monotonic()
        until = start + (IDLE_S if is_idle else GRACE_S)
        while late := [calls for calls in self._calls if is_idle or calls.patience_s > 0]:
            left_s = until - time.monotonic()
            if left_s <= 0 or (self._proceed(left_s) and is_idle):
                break
        if not is_idle:
            for calls in late:
                calls.patience_s -= time.monotonic() - start

    def close(self) -> None:
        """End all parked calls where they are."""
        for calls in list(self._calls):
            calls.abandon()

    def _proceed(self, timeout_s: float) -> bool:
        """Continue the calls that are answered within a time; return True if there were any."""
        answered = self._answered(min(timeout_s, self._next_deadline_s()))
        for calls in answered:
            if calls in self._calls:  # one call may end the request of another
                calls.proceed()
        return bool(answered)

    def _answered(self, timeout_s: float) -> list[RequestCalls]:
        """Return the calls whose answer has arrived within a time, or is overdue."""
        filenos = {calls: _awaited(calls).fileno() for calls in self._calls}
        poll = select.poll()
        for fileno in filenos.values():
            if fileno >= 0:
                poll.register(fileno, select.POLLIN)
        has_closed = min(filenos.values()) < 0
        answered = {fileno for fileno, _ in poll.poll(0 if has_closed else 1000 * timeout_s)}
        now = time.monotonic()
        return [
            calls
            for calls, fileno in filenos.items()
            if fileno < 0 or fileno in answered or _awaited(calls).deadline <= now
        ]

    def _next_deadline_s(self) -> float:
        """Return the time until the first answer is overdue, in seconds."""
        first = min(_awaited(calls).deadline for calls in self._calls)
        return max(0.0, first - time.monotonic())


def _awaited(calls: RequestCalls) -> Awaited:
    return cast(Awaited, calls.awaited)
