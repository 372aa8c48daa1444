"""Counts the invalid keys that each address has sent."""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from concordance_inference.server.access.errors import TooManyAttemptsError

#: Invalid keys that an address may send within `WINDOW_S`.
MAX_ATTEMPTS = 10

#: In seconds.
WINDOW_S = 60.0

#: Addresses that are counted; the one that failed least recently is forgotten first.
MAX_ADDRESSES = 4096


class Attempts:
    """The invalid keys of the last minute, by address. Belongs to the event loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start without one.

        Args:
            now: Returns the time in seconds.
        """
        self._now = now
        self._failed: OrderedDict[str, deque[float]] = OrderedDict()

    def fail(self, address: str) -> None:
        """Count an invalid key.

        Raises:
            TooManyAttemptsError: The address has sent `MAX_ATTEMPTS` before, which are not
                counted again: the address is refused for a minute at most.
        """
        now, address = self._now(), _network(address)
        times = self._failed.setdefault(address, deque())
        self._failed.move_to_end(address)
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if len(times) >= MAX_ATTEMPTS:
            raise TooManyAttemptsError(MAX_ATTEMPTS, times[0] + WINDOW_S - now)
        times.append(now)
        if len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)


def _network(address: str) -> str:
    """What one caller can send from: an IPv4 address, or the 64 bits of an IPv6 network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
