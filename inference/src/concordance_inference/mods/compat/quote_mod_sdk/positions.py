"""Positions of events in the completion, including events that the engine did not raise."""

from typing import Any

from concordance_inference.mods.compat.quote_mod_sdk.action_types import Backtrack
from concordance_inference.mods.compat.quote_mod_sdk.events import Added, ModEvent, position_of


def is_by_hand(event: ModEvent) -> bool:
    """True for an event that no engine raised: other parts of the request do not exclude it."""
    return position_of(event) is None


class Positions:
    """Tracks the completion length of requests whose events a test or another mod creates.

    Such events have arbitrary steps; those of the engine have the right position.
    """

    def __init__(self) -> None:
        """Track no request yet."""
        self._ends: dict[str, int] = {}

    def of(self, event: ModEvent) -> int:
        """Return the position of an event; `Added` advances it."""
        position = position_of(event)
        if position is not None:
            return position
        end = self._ends.get(event.request_id, 0)
        if isinstance(event, Added):
            self._ends[event.request_id] = end + len(event.added_tokens)
        return end

    def note(self, event: ModEvent, action: Any) -> None:
        """Record a backtrack."""
        if position_of(event) is None and isinstance(action, Backtrack):
            end = self._ends.get(event.request_id, 0)
            self._ends[event.request_id] = max(0, end - action.n)
