"""The actions of the mods of one request, for traces."""

import time
from collections.abc import Sequence

from concordance_shared import AnyAction, Backtrack, Event
from msgspec import Struct

#: Actions of a request that are kept, the first ones.
MAX_ACTIONS = 128


class ModAction(Struct, frozen=True, kw_only=True):
    """An action that changed the prompt or the completion, or ended it."""

    mod: str
    action: str  # the name of its type
    event: str  # at which the mod returned it
    step: int
    forced_tokens: int = 0
    backtracked_tokens: int = 0
    at_ns: int  # Unix time


class ActionLog:
    """The first actions of a request, and the number of all.

    Adjustments of logits are not among them: there is one for each position.

    Attributes:
        entries: Up to `MAX_ACTIONS` of them, oldest first.
        num_actions: Number of all.
    """

    def __init__(self) -> None:
        """Create an empty log."""
        self.entries: list[ModAction] = []
        self.num_actions = 0

    def add(self, mod: str, event: Event, action: AnyAction, forced: Sequence[int]) -> None:
        """Add an action.

        Args:
            mod: The mod.
            event: At which it returned the action.
            action: The action.
            forced: The tokens that it added to the completion.
        """
        self.num_actions += 1
        if len(self.entries) == MAX_ACTIONS:
            return
        self.entries.append(
            ModAction(
                mod=mod,
                action=type(action).__name__,
                event=type(event).__name__,
                step=event.step,
                forced_tokens=len(forced),
                backtracked_tokens=action.n if isinstance(action, Backtrack) else 0,
                at_ns=time.time_ns(),
            )
        )
