"""Commands that are applied at known moments of a request, as the replay of a trace needs."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from concordance_inference.control import AttachCall, AttachMod, Command, Moment, Scheduled
from concordance_inference.engine.config import ModelTraits
from concordance_inference.engine.control.pauses import Pauses
from concordance_inference.engine.control.row_control import RowControl
from concordance_inference.engine.request.instances import READY_S, instance_within
from concordance_inference.engine.request.late_calls import expect_late_answers
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row


class Schedule:
    """The commands of one request that are left, in order."""

    def __init__(
        self, scheduled: Sequence[Scheduled], attach: Callable[[AttachCall], AttachMod]
    ) -> None:
        """Hold commands.

        Args:
            scheduled: The commands, in order.
            attach: Makes the instance of a mod.
        """
        self._left = deque(scheduled)
        self._attach = attach

    def take(self, now: Moment) -> Command | None:
        """Remove and return the next command if this is its moment.

        Raises:
            ConcordanceError: The instance of the mod that it adds cannot be made.
        """
        if not self._left or self._left[0].at != now:
            return None
        command = self._left.popleft().command
        return self._attach(command) if isinstance(command, AttachCall) else command


def control_by_schedule(
    row: "Row", scheduled: Sequence[Scheduled], traits: ModelTraits
) -> RowControl:
    """Return the control of a row that applies scheduled commands. It cannot be paused."""

    def attach(given: AttachCall) -> AttachMod:
        instance = instance_within(READY_S, given.call, row.mods.context, traits)
        return AttachMod(instance=instance, replaces=given.replaces, call=given.call)

    control = RowControl(row, traits.tokenizer, Pauses(max_paused=0, limit_s=0.0))
    control.schedule = Schedule(scheduled, attach)
    if any(_is_late(each.command) for each in scheduled):
        expect_late_answers(row)
    return control


def _is_late(command: Command | AttachCall) -> bool:
    """True if a command adds a mod that answers late, which is loaded late as well."""
    return isinstance(command, AttachCall) and isinstance(command.call.definition, SandboxedMod)
