"""Refuses a mod for a while that has failed again and again."""

import threading
import time
from collections import deque
from collections.abc import Callable

from concordance_shared import ConcordanceError, EmittedError, ModError

from concordance_inference.sandbox.failures import LostWorkerError

#: This many failures of a version within `WINDOW_S` disable it for `DISABLED_S`.
MAX_FAILURES, WINDOW_S, DISABLED_S = 5, 60.0, 60.0

#: The most versions whose failures are kept; those that failed longest ago are forgotten.
_MAX_KEPT = 4096

#: The owner of the key, and the name and version of the mod.
UseOfMod = tuple[str, str, str]


class ModDisabledError(ModError):
    """A version of a mod has failed too often for the present caller."""

    status_code = 503
    type = "overloaded"
    code = "mod_disabled"
    retry_after_s = DISABLED_S


class CircuitBreaker:
    """The failures of each version of a mod, for each caller alone. Thread-safe.

    A caller whose requests make a shared mod fail disables it for itself, and for no other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without failures.

        Args:
            clock: Returns the time in seconds.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[UseOfMod, deque[float]] = {}  # the last one is the latest to fail
        self._disabled_until: dict[UseOfMod, float] = {}

    def check(self, use: UseOfMod) -> None:
        """Refuse a mod that is disabled.

        Raises:
            ModDisabledError: It is.
        """
        with self._lock:
            left_s = self._disabled_until.get(use, 0.0) - self._clock()
            if left_s <= 0:
                self._disabled_until.pop(use, None)
                return
        _, mod, version = use
        error = ModDisabledError(
            f"mod {mod!r} ({version}) failed {MAX_FAILURES} times within {WINDOW_S:.0f} s and is "
            f"disabled for your key; upload a corrected version, or try again in {left_s:.0f} s",
            mod=mod,
        )
        error.retry_after_s = left_s
        raise error

    def note(self, use: UseOfMod, error: ConcordanceError) -> None:
        """Count a failure. Rejected requests, emitted errors and lost workers are none."""
        if not isinstance(error, ModError) or isinstance(
            error, EmittedError | LostWorkerError | ModDisabledError
        ):
            return
        now = self._clock()
        with self._lock:
            failures = self._failures.pop(use, None) or deque[float](maxlen=MAX_FAILURES)
            self._failures[use] = failures
            failures.append(now)
            if len(failures) == MAX_FAILURES and now - failures[0] <= WINDOW_S:
                self._disabled_until[use] = now + DISABLED_S
                failures.clear()
            if len(self._failures) > _MAX_KEPT:
                forgotten = next(iter(self._failures))
                del self._failures[forgotten]
                self._disabled_until.pop(forgotten, None)
