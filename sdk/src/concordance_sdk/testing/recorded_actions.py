"""The recorded actions of a trace, by the moment at which they were made."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from concordance_shared import (
    AdjustedPrefill,
    AnyAction,
    Backtrack,
    EmitError,
    Event,
    ForceOutput,
    ForceTokens,
    Noop,
    ToolCall,
    ToolCalls,
)

from concordance_sdk.testing.recorded_trace import RecordedEvent, RecordedTrace


class Moment(NamedTuple):
    """When an event occurs: its type and step, and what happened to the completion before."""

    event: str
    step: int
    draws: int
    removed: int


def moment_of(event: RecordedEvent) -> Moment:
    """Return the moment of a recorded event."""
    return Moment(event.event, event.position, event.draws, event.removed)


def recorded_action(event: RecordedEvent, trace: RecordedTrace) -> AnyAction:
    """Return the action of an event; of an adjustment of logits, which is not recorded, nothing."""
    make = _MAKERS.get(event.action)
    if make is not None:
        return make(event, trace)
    return EmitError(event.error) if event.error else Noop()


def _tokens(event: RecordedEvent, trace: RecordedTrace) -> list[int]:
    """Return the tokens of an action; those that its details leave out are in the trace."""
    ids: list[int] = event.details.get("token_ids") or []
    if event.details.get("num_tokens", 0) > len(ids):
        return [token.token_id for token in trace.tokens if token.event == event.index]
    return ids


_MAKERS: Mapping[str, Callable[[RecordedEvent, RecordedTrace], AnyAction]] = {
    "ForceTokens": lambda event, trace: ForceTokens(_tokens(event, trace)),
    "Backtrack": lambda event, trace: Backtrack(
        event.details.get("n", 0), _tokens(event, trace) or None
    ),
    "ForceOutput": lambda event, trace: ForceOutput(_tokens(event, trace)),
    "ToolCalls": lambda event, _: ToolCalls(
        msgspec.convert(event.details["tool_calls"], list[ToolCall])
    ),
    "EmitError": lambda event, _: EmitError(event.details["error"]),
    "AdjustedPrefill": lambda event, trace: AdjustedPrefill(
        trace.prompt_ids or [], max_steps=event.details.get("max_steps", 0)
    ),
}


class StandIn:
    """Returns the recorded actions of a mod that is not replayed itself."""

    max_backtrack = None

    def __init__(self, name: str, moments: "Moments") -> None:
        """Stand in for the mod of a name."""
        self.name = name
        self.instances = (self,)
        self._moments = moments
        self._types = {event.event for event in moments.events_of(name)}

    def listens_to(self, event_type: type[Event]) -> bool:
        """True for the events at which the mod acted."""
        return event_type.__name__ in self._types

    def ask(self, event: Event) -> AnyAction | None:
        """Return the action that was recorded here."""
        return self._moments.take(self.name, event)


class Moments:
    """The recorded events of a trace, and where its replay is.

    Attributes:
        draws: Tokens that were drawn so far.
        removed: Tokens that were removed so far.
    """

    def __init__(self, trace: RecordedTrace) -> None:
        """Begin before the first event."""
        self.draws = 0
        self.removed = 0
        self._trace = trace
        self._events: dict[tuple[str, Moment], deque[RecordedEvent]] = defaultdict(deque)
        for event in trace.events:
            self._events[event.mod, moment_of(event)].append(event)

    def events_of(self, name: str) -> Iterable[RecordedEvent]:
        """Return the events of a mod."""
        return [event for event in self._trace.events if event.mod == name]

    def at(self, event: Event) -> Moment:
        """Return the moment of an event that occurs now."""
        return Moment(type(event).__name__, event.step, self.draws, self.removed)

    def take(self, name: str, event: Event) -> AnyAction | None:
        """Return the action of a mod at an event that occurs now, once."""
        found = self._events.get((name, self.at(event)))
        return recorded_action(found.popleft(), self._trace) if found else None

    def is_decided(self, step: int) -> bool:
        """True if an action at `ForwardPass` of a step is recorded for now."""
        now = Moment("ForwardPass", step, self.draws, self.removed)
        return any(moment == now and left for (_, moment), left in self._events.items())
