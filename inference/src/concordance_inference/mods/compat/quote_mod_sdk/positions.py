"""Where in the completion an event stands, also one that the engine did not raise."""

from typing import Any

from concordance_inference.mods.compat.quote_mod_sdk.action_types import Backtrack
from concordance_inference.mods.compat.quote_mod_sdk.events import Added, ModEvent, position_of


class Positions:
    """Counts the tokens of requests whose events a test or another mod makes.

    Such events have whatever steps their makers give them. The engine's have the position.
    """

    def __init__(self) -> None:
        """Know of no request."""
        self._ends: dict[str, int] = {}

    def of(self, event: ModEvent) -> int:
        """The position that an event speaks of."""
        position = position_of(event)
        if position is not None:
            return position
        end = self._ends.get(event.request_id, 0)
        if isinstance(event, Added):
            self._ends[event.request_id] = end + len(event.added_tokens)
        return end

    def turns_of(self, event: ModEvent) -> str:
        """The request among whose parts an event's takes its turn: none but this one's by hand."""
        by_hand = position_of(event) is None
        return f"{event.request_id} by hand {id(self)}" if by_hand else event.request_id

    def note(self, event: ModEvent, action: Any) -> None:
        """Count what an answer to an event takes back."""
        if position_of(event) is None and isinstance(action, Backtrack):
            end = self._ends.get(event.request_id, 0)
            self._ends[event.request_id] = max(0, end - action.n)
