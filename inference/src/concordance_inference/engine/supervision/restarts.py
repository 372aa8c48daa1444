"""When an engine that failed is started again: with growing delays, a bounded number of times."""

import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from concordance_shared import EngineStoppedError
from msgspec import Struct


class RestartPolicy(Struct, frozen=True, kw_only=True):
    """Bounds of restarts."""

    max_restarts: int = 5  # within `window_s`; then the engine stays stopped
    window_s: float = 600.0
    first_delay_s: float = 1.0  # doubled for each restart within the window
    max_delay_s: float = 60.0


class EngineRestartingError(EngineStoppedError):
    """The engine failed and is being restarted; the client can retry later."""

    code: ClassVar[str] = "engine_restarting"
    retry_after_s: float = 1.0  # from now


def restarting_error(retry_after_s: float) -> EngineRestartingError:
    """Make the error of a request that meets a restart, which may be over in `retry_after_s`."""
    error = EngineRestartingError(
        "the engine failed and is being restarted; the request was not completed, try again in "
        f"{max(1.0, retry_after_s):.0f} s"
    )
    error.retry_after_s = retry_after_s
    return error


class Restarts:
    """The restarts of one engine so far."""

    def __init__(
        self, policy: RestartPolicy, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without any."""
        self._policy = policy
        self._clock = clock
        self._times: deque[float] = deque()
        self.total = 0

    def next_delay_s(self) -> float | None:
        """Count a restart; return the delay before it, `None` if there were too many."""
        policy, now = self._policy, self._clock()
        while self._times and self._times[0] <= now - policy.window_s:
            self._times.popleft()
        if len(self._times) >= policy.max_restarts:
            return None
        delay_s = min(policy.max_delay_s, policy.first_delay_s * 2 ** len(self._times))
        self._times.append(now)
        self.total += 1
        return delay_s
