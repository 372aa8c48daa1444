"""Turns the records of a request into its trace."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from concordance_sdk.host.action_details import action_details
from concordance_shared import AdjustedPrefill

from concordance_inference.control import CONTROL, Command, Moment
from concordance_inference.traces.commands import encoded
from concordance_inference.traces.end import set_end
from concordance_inference.traces.recorder import Kind
from concordance_inference.traces.schema import (
    HandlerTotal,
    Trace,
    TraceEvent,
    TraceLog,
    TraceStep,
    TraceToken,
)
from concordance_inference.traces.token_history import TextOf, TokenHistory

#: Limits of one trace; see also `token_history`.
MAX_EVENTS = 50_000
MAX_STEPS = 100_000
MAX_LOGS = 10_000


class TraceBuilder:
    """Follows the records of one request.

    Attributes:
        trace: What is known so far.
        is_over: True after the record of the end.
        is_closed: True if no end follows, unless the request has a row.
        tokens: The tokens.
    """

    def __init__(self, trace: Trace, text_of: TextOf) -> None:
        """Continue a trace that has the request's own fields.

        Args:
            trace: The trace.
            text_of: Returns the text of a token.
        """
        self.trace = trace
        self.is_over = False
        self.is_closed = False
        self.tokens = TokenHistory(trace, text_of)
        self._deciding: int | None = None  # index of the event whose action is being applied
        self._logs: list[TraceLog] = []  # since the last call
        self._num_logs = 0
        self._handlers: dict[tuple[str, str], HandlerTotal] = {}
        self._num_draws = 0
        self._num_removed = 0
        self._num_seen = [0, 0]  # events and steps that `take_changes` has returned
        self._apply: dict[Kind, Callable[..., None]] = {
            Kind.BEGIN: self._begin,
            Kind.DRAW: self._drew,
            Kind.VALUES: self._values,
            Kind.LOGPROBS: self.tokens.set_logprobs,
            Kind.EDIT: self._edited,
            Kind.EVENT: self._asked,
            Kind.CALL: self._called,
            Kind.LOG: self._logged,
            Kind.PASS: self._passed,
            Kind.WASTED: self._wasted,
            Kind.COMMAND: self._commanded,
            Kind.END: self._end,
            Kind.CLOSED: self._closed,
        }

    def apply(self, records: Sequence[tuple[Any, ...]]) -> None:
        """Follow records, oldest first."""
        for kind, *fields in records:
            self._apply[kind](*fields)

    def take_changes(self) -> tuple[list[TraceToken], list[TraceEvent], list[TraceStep]]:
        """Return the tokens, events and steps that are new or have changed."""
        trace, (events, steps) = self.trace, self._num_seen
        self._num_seen = [len(trace.events), len(trace.steps)]
        changed, self.tokens.changed = sorted(self.tokens.changed), set()
        # The last event and step may still change: the action follows the call.
        return (
            [trace.tokens[i] for i in changed],
            trace.events[max(0, events - 1) :],
            trace.steps[max(0, steps - 1) :],
        )

    # One method for each kind of record

    def _begin(
        self,
        given: Sequence[int],
        given_by: Sequence[str | None],
        seed: int,
        prompt_ids: Sequence[int],
        limits: Mapping[str, Any],
    ) -> None:
        trace = self.trace
        trace.seed, trace.limits = seed, dict(limits)
        if trace.prompt_ids is not None and prompt_ids:  # it has the tokens of earlier messages
            trace.prompt_ids = list(prompt_ids)
        for token_id, mod in zip(given, given_by, strict=True):
            self.tokens.put(token_id, "given", mod)

    def _drew(self, draw: int, token_id: int, position: int, at: int) -> None:
        self._deciding, self._num_draws = None, draw + 1
        self.tokens.draw(draw, token_id, position, at)

    def _values(self, draw: int, values: Sequence[float], is_adjusted: bool) -> None:  # noqa: FBT001
        self.tokens.set_values(draw, values, is_adjusted=is_adjusted)

    def _edited(
        self,
        kept: int,
        added: Sequence[int],
        forced: bool,  # noqa: FBT001
        mod: str | None,
        at: int,
    ) -> None:
        event, tokens = self._event_of(mod), self.tokens
        num_cut = tokens.cut(kept, mod, event)
        self._num_removed += num_cut
        if not forced and len(added) == 1 and tokens.awaits_drawn:
            tokens.add_drawn()
            return
        if forced:
            tokens.replace_drawn(mod, event)
        for token_id in added:
            tokens.put(token_id, "forced" if forced else "sampled", mod, event, at)
        if event is not None:
            self.trace.events[event].backtracked_tokens += num_cut
            self.trace.events[event].forced_tokens += len(added)

    def _asked(
        self,
        mod: str,
        event: str,
        position: int,
        action: Any,
        elapsed: int | None,
        error: str | None,
        at: int,
    ) -> None:
        if elapsed is not None:
            self._count(mod, event, elapsed)
        name = "AdjustedLogits" if isinstance(action, dict) else type(action).__name__
        made = self._new_event(
            mod=mod,
            event=event,
            action="" if action is None else name,
            position=position,
            details=action_details(action),
            by_hand=elapsed is None and mod == CONTROL,
            microseconds=(elapsed or 0) / 1e3,
            error=error,
            at_ms=at / 1e6,
        )
        if isinstance(action, AdjustedPrefill) and self.trace.prompt_ids is not None:
            self._replace_prompt(action.tokens)
        is_decision = made is not None and action is not None and name != "AdjustedLogits"
        self._deciding = made.index if made is not None and is_decision else None

    def _replace_prompt(self, prompt_ids: Sequence[int]) -> None:
        trace = self.trace
        trace.given_prompt_ids = trace.given_prompt_ids or trace.prompt_ids
        trace.prompt_ids = list(prompt_ids)

    def _called(self, mod: str, event: str, position: int, elapsed: int, at: int) -> None:
        self._count(mod, event, elapsed)
        if self._logs:  # it logged, and did nothing else
            self._new_event(
                mod=mod,
                event=event,
                action="Noop",
                position=position,
                microseconds=elapsed / 1e3,
                at_ms=at / 1e6,
            )

    def _logged(self, mod: str, level: str, text: str, at: int) -> None:
        self._num_logs += 1
        if self._num_logs <= MAX_LOGS:
            self._logs.append(TraceLog(mod=mod, level=level, text=text, at_ms=at / 1e6))

    def _passed(
        self,
        step: int,
        rows: int,
        row: int,
        tokens: int,
        prefill: bool,  # noqa: FBT001
        at: int,
    ) -> None:
        trace, saved = self.trace, 0 if prefill else tokens - 1
        trace.passes += 1
        trace.passes_saved += saved
        if len(trace.steps) == MAX_STEPS:
            trace.is_truncated = True
            return
        made = TraceStep(
            index=len(trace.steps),
            step=step,
            rows=rows,
            row=row,
            tokens=tokens,
            is_prefill=prefill,
            saved=saved,
            at_ms=at / 1e6,
        )
        trace.steps.append(made)

    def _wasted(self) -> None:
        self.trace.passes_wasted += 1
        if self.trace.steps:
            self.trace.steps[-1].is_wasted = True

    def _commanded(
        self, described: dict[str, Any], at: Moment | None, command: Command | None, at_ns: int
    ) -> None:
        details = {key: value for key, value in described.items() if value is not None}
        step = int(described.get("step") or 0)
        draws, position, removed = at or (self._num_draws, step, self._num_removed)
        self._new_event(
            mod=str(details.pop("mod", None) or CONTROL),
            event="command",
            action=str(details.pop("type", "")),
            position=position,
            draws=draws,
            removed=removed,
            details=details,
            by_hand=True,
            command=encoded(command),
            at_ms=at_ns / 1e6,
        )

    def _end(self, facts: Mapping[str, Any], at: int) -> None:
        self.tokens.replace_drawn()
        set_end(self.trace, facts)
        self.trace.seconds = at / 1e9
        self._finish()

    def _closed(self) -> None:
        self.is_closed = True

    def fail(self, error: str) -> None:
        """End a trace that gets no end from the engine."""
        self.trace.status, self.trace.error = "failed", error
        self._finish()

    # Helpers

    def _finish(self) -> None:
        self.trace.logs += self._logs
        self._logs = []
        self.trace.handlers = list(self._handlers.values())
        self.is_over = True

    def _event_of(self, mod: str | None) -> int | None:
        """Return the event whose action a mod's edit applies."""
        i = self._deciding
        return i if i is not None and self.trace.events[i].mod == mod else None

    def _new_event(self, **fields: Any) -> TraceEvent | None:
        events = self.trace.events
        if len(events) == MAX_EVENTS:
            self.trace.is_truncated = True
            return None
        own = [log for log in self._logs if log.mod == fields["mod"]]
        self.trace.logs += [log for log in self._logs if log.mod != fields["mod"]]
        self._logs = []
        fields.setdefault("draws", self._num_draws)
        fields.setdefault("removed", self._num_removed)
        made = TraceEvent(index=len(events), logs=own, **fields)
        events.append(made)
        return made

    def _count(self, mod: str, event: str, elapsed: int) -> None:
        total = self._handlers.get((mod, event))
        if total is None:
            total = self._handlers[mod, event] = HandlerTotal(mod=mod, event=event)
        total.calls += 1
        total.microseconds += elapsed / 1e3
