"""The interface of a recorder to the host of mods: each event that a mod handles, and each edit."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from concordance_shared import AnyAction, Event

if TYPE_CHECKING:
    from concordance_sdk.host.instance import ModInstance

Ask = Callable[["ModInstance", Event], AnyAction]


class Tracer(Protocol):
    """Records what happens to one request, in order."""

    def ask(self, mod: "ModInstance", event: Event, ask: Ask) -> AnyAction:
        """Call `ask(mod, event)`, record its action and its time, and return the action."""
        ...

    def acted(self, mod: str, event: Event, action: AnyAction) -> None:
        """Record an action that no handler returned, such as one by hand."""
        ...

    def edited(self, kept: int, added: tuple[int, ...], mod: str | None, *, forced: bool) -> None:
        """Record an edit: the completion is its first `kept` tokens, followed by `added`."""
        ...
