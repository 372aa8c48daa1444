"""Mods that a request does not require: one that fails is dropped, and the request continues."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordance_sdk.host.instance import CountedMod, ModInstance, RequestMod
from concordance_sdk.request_context import RequestContext
from concordance_shared import ConcordanceError, Event, ModError

from concordance_inference.engine.control.hand import Hand
from concordance_inference.engine.control.mod_changes import drop
from concordance_inference.generation import ModFailure

if TYPE_CHECKING:
    from concordance_inference.engine.request.row import Row

logger = logging.getLogger(__name__)

#: The longest message in a response, in characters.
_MAX_MESSAGE = 2000


class FailedMod:
    """A mod that could not be made: a `RequestMod` that handles no event, and has the error."""

    may_park = False
    max_backtrack = 0
    num_calls, seconds = 0, 0.0
    contained: Sequence[CountedMod] = ()
    instances: Sequence[ModInstance] = ()

    def __init__(self, name: str, request: RequestContext, error: ConcordanceError) -> None:
        """Keep why the mod could not be made."""
        self.name, self.request, self.error = name, request, error

    def listens_to(self, event_type: type[Event]) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def ask(self, event: Event) -> object:
        """Return nothing."""

    def close(self) -> None:
        """Do nothing."""


class OptionalMods:
    """The mods of a request that it does not require, and those that have failed."""

    def __init__(self, row: "Row") -> None:
        """Start with those that the request names; some have failed already."""
        self._row = row
        self._failing: dict[RequestMod, None] = {}  # to be removed when the call is over
        calls = zip(row.mods.instances, row.request.mods, strict=False)
        self._mods = [mod for mod, call in calls if not call.required]
        for mod in self._mods:
            if isinstance(mod, FailedMod):
                self._note(mod, mod.error)
        self._listen()

    def add(self, mod: RequestMod) -> None:
        """Count a mod that was attached to the request."""
        self._mods.append(mod)
        self._listen()

    def _listen(self) -> None:
        if self._mods:
            self._row.dispatch.tolerance.on_failure = self._failed

    def remove_failed(self) -> None:
        """Remove the mods that have failed in the last call, as if they were detached."""
        while self._failing:
            mod = next(iter(self._failing))
            del self._failing[mod]
            control = self._row.control
            drop(self._row, Hand() if control is None else control.hand, mod)

    def _failed(self, instance: ModInstance, error: ModError) -> Sequence[ModInstance]:
        """Return the instances of a mod that has failed; none if the request fails with it."""
        mod = next((mod for mod in self._mods if instance in mod.instances), None)
        if mod is None or any(hold.hides for hold in self._row.state.holds):
            return ()
        self._failing[mod] = None
        self._note(mod, error)
        return mod.instances

    def _note(self, mod: RequestMod, error: ConcordanceError) -> None:
        request_id = self._row.request.request_id
        logger.warning("%s continues without mod %r: %s", request_id, mod.name, error.code)
        failure = ModFailure(error.code, error.message[:_MAX_MESSAGE])
        self._row.mods.failures.setdefault(mod.name, failure)
