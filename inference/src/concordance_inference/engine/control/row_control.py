"""Applies commands to one request, between the decisions of two positions. No arrays."""

from collections import deque
from typing import TYPE_CHECKING, Any

from concordance_sdk.action_builder import end_token_id
from concordance_sdk.tokenizer import Tokenizer
from concordance_shared import AnyAction, ConcordanceError, FinishReason, ForceTokens
from greenlet import GreenletExit

from concordance_inference.control import (
    MAX_QUEUED,
    Act,
    Adjust,
    AttachMod,
    BacktrackTo,
    Command,
    DetachMod,
    End,
    Moment,
    Outcome,
    Pause,
    RefusedCommandError,
    Resume,
    State,
    Step,
    UnknownRequestError,
    event_of_outcome,
    kind_of,
    mod_of,
)
from concordance_inference.engine.control.by_hand import (
    act,
    backtrack_to,
    check,
    check_expected,
    event_of,
)
from concordance_inference.engine.control.hand import Hand
from concordance_inference.engine.control.mod_changes import attach, detach, update_mods
from concordance_inference.engine.control.pauses import Pauses
from concordance_inference.engine.control.ticket import Ticket

if TYPE_CHECKING:
    from concordance_inference.engine.control.schedule import Schedule
    from concordance_inference.engine.request.row import Row

_Resolved = Act | End | Pause | Resume | Step | Adjust | AttachMod | DetachMod


class RowControl:
    """The commands to one request. Made when the first one arrives.

    `apply` is called where the next position is not decided yet and no sampled token is on its
    way: after the events of a sampled token, or between two steps.
    """

    def __init__(self, row: "Row", tokenizer: Tokenizer, pauses: Pauses) -> None:
        """Control a row.

        Args:
            row: The request.
            tokenizer: The model's.
            pauses: The paused requests of the engine.
        """
        self._row = row
        self._tokenizer = tokenizer
        self._pauses = pauses
        self._tickets: deque[Ticket] = deque()
        self._stepping: tuple[Ticket, Outcome, int] | None = None  # the end, in decided tokens
        self._is_adjusting = False
        self.schedule: Schedule | None = None  # of commands, for a replay
        self.hand = Hand()
        self.is_paused = False

    def add(self, ticket: Ticket) -> None:
        """Queue a command."""
        if len(self._tickets) < MAX_QUEUED:
            self._tickets.append(ticket)
        else:
            ticket.reply(
                RefusedCommandError(
                    f"{MAX_QUEUED} actions on this request wait already; wait for their responses"
                )
            )

    def apply(self) -> None:
        """Apply the queued commands in order, until the request ends."""
        self._apply_scheduled()
        while self._tickets and not self._row.state.is_finished:
            ticket = self._tickets.popleft()
            if ticket.claim():
                self._apply(ticket)
        if self._row.state.is_finished:
            self._pauses.end(self._row)
        self.follow()

    def follow(self) -> None:
        """Note that positions were decided: changes of distributions and steps may be over."""
        if self._is_adjusting and not self.hand.num_steps:
            update_mods(self._row, self.hand)
        self._is_adjusting = self.hand.num_steps > 0
        self._end_steps()

    def resume(self) -> None:
        """Continue a paused request, also one that takes steps."""
        self.is_paused = False
        self._pauses.end(self._row)
        self._finish_steps()

    def close(self) -> None:
        """Reply to all commands that are left, since the request has ended."""
        self._pauses.end(self._row)
        self._finish_steps()
        while self._tickets:
            if (ticket := self._tickets.popleft()).claim():
                ticket.reply(UnknownRequestError("the request has ended; nothing was applied"))

    # Commands

    def _apply(self, ticket: Ticket) -> None:
        command, now = ticket.command, _now(self._row)
        try:
            command = self._resolved(command)
            outcome = self._outcome_of(command)
        except ConcordanceError as exc:
            ticket.reply(exc)
            return
        except GreenletExit:  # while a mod's answer to the command was awaited
            ticket.reply(UnknownRequestError("the request has ended; a mod had not answered yet"))
            raise
        described = self._described(kind_of(command), outcome, mod=mod_of(command))
        self._record(described, now, command)
        if isinstance(command, Step) and not self._row.state.is_finished:
            self._stepping = ticket, outcome, self._num_decided + command.num_tokens
            ticket.begun = outcome
        else:
            ticket.reply(outcome)

    def _resolved(self, command: Command) -> _Resolved:
        """Return a command whose positions are counts of tokens."""
        if isinstance(command, BacktrackTo):
            return Act(action=backtrack_to(self._row, command, self._tokenizer))
        return command

    def _outcome_of(self, command: _Resolved) -> Outcome:
        """Apply a command.

        Raises:
            ConcordanceError: It cannot be applied; the request is unchanged.
        """
        row, step = self._row, self._row.state.num_completion
        match command:
            case Act(action=action, expected=expected):
                check_expected(row, expected, self._tokenizer)
                return self._act(action)
            case End():
                return self._end()
            case Pause() | Resume() | Step():
                return self._pace(command)
            case Adjust(action=action, num_steps=num_steps):
                self.hand.adjust(check(row, event_of(row), action), num_steps)
                update_mods(row, self.hand)
            case AttachMod(instance=instance, replaces=replaces, call=call):
                attach(row, self.hand, instance, replaces)
                if call is not None and not call.required:
                    row.optional.add(instance)
            case DetachMod(name=name):
                detach(row, self.hand, name)
        return self._outcome(step)

    def _act(self, action: AnyAction) -> Outcome:
        step = self._row.state.num_completion
        edited = act(self._row, self.hand, action)
        return self._outcome(
            step,
            forced_tokens=edited.forced_tokens,
            backtracked_tokens=edited.backtracked_tokens,
        )

    def _end(self) -> Outcome:
        """End the completion as `actions.stop()` does, or at once if no token can end it."""
        row, step = self._row, self._row.state.num_completion
        row.is_ended_by_hand = True
        # A token of `stop_token_ids` would be reported as the one at which the completion stopped.
        if ends := row.state.forced_eos_ids.difference(row.request.stop_token_ids):
            preferred = end_token_id(self._tokenizer)
            return self._act(ForceTokens([preferred if preferred in ends else min(ends)]))
        row.state.finish(FinishReason.STOP)
        row.dispatch.introduce([])  # removes what is never shown
        return self._outcome(step)

    # Pace

    def _pace(self, command: Pause | Resume | Step) -> Outcome:
        if isinstance(command, Pause):
            if self.is_paused:
                raise RefusedCommandError("the request is paused already")
            self._pauses.begin(self._row)
            self.is_paused = True
            self._finish_steps()
        elif isinstance(command, Resume):
            if not (self.is_paused or self._stepping):
                raise RefusedCommandError("the request is not paused")
            self.resume()
        else:
            if self._stepping:
                raise RefusedCommandError("the request takes steps already")
            self._pauses.begin(self._row)
            self.is_paused = False
        return self._outcome(self._row.state.num_completion)

    @property
    def _num_decided(self) -> int:
        """Tokens that were ever added, which backtracking does not lower."""
        return self._row.state.num_completion + self._row.state.num_backtracked

    def _end_steps(self) -> None:
        """Pause again once the tokens of a `Step` are there."""
        if self._stepping is None or self._row.state.is_finished:
            return
        if self._num_decided >= self._stepping[2]:
            self.is_paused = True
            self.note("pause")
            self._finish_steps()

    def _finish_steps(self) -> None:
        """Reply to a `Step` with the tokens that followed."""
        if self._stepping is None:
            return
        ticket, before, _ = self._stepping
        self._stepping = None
        state = self._row.state
        added = tuple(state.token_ids[state.prompt_len + before.step :])
        ticket.reply(self._outcome(before.step, token_ids=added))

    # Replies

    def note(self, kind: str, **details: str | None) -> None:
        """Notify the client of a stream, and the trace, of a change that no command makes now."""
        outcome = self._outcome(self._row.state.num_completion)
        self._record(self._described(kind, outcome, **details))

    def _described(self, kind: str, outcome: Outcome, **details: str | None) -> dict[str, Any]:
        """Describe what was applied, and send it to the client of a stream."""
        described = event_of_outcome(kind, outcome, **details)
        self._row.output.add_control(described)
        return described

    def _record(
        self, described: dict[str, Any], at: Moment | None = None, command: Command | None = None
    ) -> None:
        if self._row.request.recorder is not None:
            self._row.request.recorder.commanded(described, at, command)

    def _apply_scheduled(self) -> None:
        while self.schedule and not self._row.state.is_finished:
            try:
                command = self.schedule.take(_now(self._row))
            except ConcordanceError as exc:  # the mod that it adds cannot be made
                self._row.state.fail(exc)
                return
            if command is None:
                return
            self._apply(Ticket(command, lambda _: None))

    @property
    def state(self) -> State:
        """What the request does."""
        state = self._row.state
        if state.is_finished:
            return "ended"
        if self.is_paused:
            return "paused"
        is_prefilling = state.num_cached < state.prompt_len and not state.num_completion
        return "prefilling" if is_prefilling else "running"

    def _outcome(
        self,
        step: int,
        *,
        forced_tokens: int = 0,
        backtracked_tokens: int = 0,
        token_ids: tuple[int, ...] = (),
    ) -> Outcome:
        state = self._row.state
        return Outcome(
            step=step,
            forced_tokens=forced_tokens,
            backtracked_tokens=backtracked_tokens,
            completion_tokens=state.num_completion,
            token_ids=token_ids,
            state=self.state,
            finish_reason=state.finish_reason and state.finish_reason.value,
        )


def _now(row: "Row") -> Moment:
    state = row.state
    return Moment(state.num_sampled, state.num_completion, state.num_backtracked)
