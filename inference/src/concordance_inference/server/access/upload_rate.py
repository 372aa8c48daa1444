"""Counts the uploads of each owner of keys in the last minute."""

import time
from collections import deque
from collections.abc import Callable
from typing import ClassVar

from concordance_shared import RequestError

#: In seconds.
WINDOW_S = 60.0


class TooManyUploadsError(RequestError):
    """An owner of keys has uploaded too much in a minute.

    Attributes:
        retry_after_s: Seconds until the owner may upload again.
    """

    status_code: ClassVar[int] = 429
    type: ClassVar[str] = "rate_limit_error"
    code: ClassVar[str] = "rate_limit_exceeded"

    def __init__(self, num_uploads: int, retry_after_s: float) -> None:
        """Say when the owner may upload again."""
        super().__init__(
            f"your key has uploaded {num_uploads} mods within a minute, which is the limit; try "
            f"again in {max(1.0, retry_after_s):.0f} s"
        )
        self.retry_after_s = retry_after_s


class UploadRate:
    """The times of uploads, by owner. Belongs to the event loop."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Start without one.

        Args:
            now: Returns the time in seconds.
        """
        self._now = now
        self._times: dict[str, deque[float]] = {}

    def count(self, owner: str, *, most: int) -> None:
        """Count an upload, or a mod that is played.

        Args:
            owner: The owner of the key; callers without one are not counted.
            most: Uploads in a minute.

        Raises:
            TooManyUploadsError: The owner has reached the limit. This one is not counted.
        """
        if not owner:
            return
        now = self._now()
        self._forget(now - WINDOW_S)
        times = self._times.setdefault(owner, deque())
        if len(times) >= most:
            raise TooManyUploadsError(most, times[0] + WINDOW_S - now)
        times.append(now)

    def _forget(self, before: float) -> None:
        """Forget uploads until a time, and the owners that have no others."""
        for owner in list(self._times):
            times = self._times[owner]
            while times and times[0] <= before:
                times.popleft()
            if not times:
                del self._times[owner]
