"""Positions of events in the completion, including events that the engine did not raise."""

from typing import Any

from concordance_inference.mods.compat.quote_mod_sdk.action_types import Backtrack
from concordance_inference.mods.compat.quote_mod_sdk.events import Added, ModEvent, position_of


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

    def turns_of(self, event: ModEvent) -> str:
        """Return the id under which mods of a request exclude each other.

        Events created by hand get an id of their own, so that they exclude nothing else.
        """
        by_hand = position_of(event) is None
        return f"{event.request_id} by hand {id(self)}" if by_hand else event.request_id

    def note(self, event: ModEvent, action: Any) -> None:
        """Record a backtrack."""
        if position_of(event) is None and isinstance(action, Backtrack):
            end = self._ends.get(event.request_id, 0)
            self._ends[event.request_id] = max(0, end - action.n)
