"""Which requests are paused, and until when at most."""

import time
from typing import TYPE_CHECKING

from concordance_inference.control import RefusedCommandError

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row


class Pauses:
    """The paused requests of an engine, those that single-step included: a bounded number."""

    def __init__(self, *, max_paused: int, limit_s: float) -> None:
        """Start without one.

        Args:
            max_paused: Maximum number of paused requests.
            limit_s: Time after which a paused request continues, in seconds.
        """
        self._max_paused = max_paused
        self._limit_s = limit_s
        self._until: dict[Row, float] = {}

    def begin(self, row: "Row") -> None:
        """Count a request as paused, for the whole time limit from now on.

        Raises:
            RefusedCommandError: Too many are paused.
        """
        if row not in self._until and len(self._until) >= self._max_paused:
            raise RefusedCommandError(
                f"{len(self._until)} requests are paused already, which is the most that this "
                "server takes; resume or cancel one first"
            )
        self._until[row] = time.monotonic() + self._limit_s

    def end(self, row: "Row") -> None:
        """Count a request as paused no longer."""
        self._until.pop(row, None)

    @property
    def next_s(self) -> float | None:
        """Time until the first limit is reached, in seconds; `None` if nothing is paused."""
        if not self._until:
            return None
        return max(0.0, min(self._until.values()) - time.monotonic())

    def expired(self) -> "list[Row]":
        """Return the requests whose limit is reached."""
        now = time.monotonic()
        return [row for row, until in self._until.items() if until <= now]
