"""The mod under whose name commands act: first in the list of a controlled request."""

from typing import TYPE_CHECKING

from concordance_shared import AnyAction, Event, ForwardPass

from concordance_inference.control import CONTROL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concordance_sdk.host.instance import ModInstance


class Hand:
    """An instance without a definition. Handles `ForwardPass` while it changes distributions.

    The other actions by hand are not returned from a handler, but applied by `ModDispatch.act`.
    """

    name = CONTROL
    max_backtrack = 0

    def __init__(self) -> None:
        """Change nothing."""
        self.instances: Sequence[ModInstance] = (self,)
        self._adjustment: AnyAction | None = None
        self.num_steps = 0  # positions left

    def adjust(self, action: AnyAction, num_steps: int) -> None:
        """Change the distributions of the next positions; replaces an earlier change."""
        self._adjustment, self.num_steps = action, num_steps

    def listens_to(self, event_type: type[Event]) -> bool:
        """True for `ForwardPass` while there are positions left."""
        return event_type is ForwardPass and self.num_steps > 0

    def ask(self, event: Event) -> AnyAction | None:
        """Return the change of this position."""
        del event
        if not self.num_steps:
            return None
        self.num_steps -= 1
        return self._adjustment
