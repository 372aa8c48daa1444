"""Dispatches events to the mods of a request and applies their actions to its state.

This is the only implementation of the rules in `docs/events-and-actions.md`; the engine and the
test harness both use it. No arrays, no text.

The calls for one position, in order:

    forward_pass(logits)   ForwardPass to each mod; adjustments compose. A decision (force,
                           backtrack, end) skips sampling: None is returned.
    sampled(token_id)      Sampled to each mod; the token is appended unless a mod decides.
                           Then Added, for as long as mods react to what was appended.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self, TypeVar, assert_never, cast

from concordance_shared import (
    EVENTS,
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    AnyAction,
    Backtrack,
    ConcordanceError,
    ContextInfo,
    ContextLengthError,
    EmitError,
    EmittedError,
    Event,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    Logits,
    ModError,
    ModReport,
    Noop,
    Prefilled,
    Report,
    Sampled,
    ToolCalls,
    check_action,
)
from concordance_shared.errors import message_of
from concordance_shared.legality import refusal, split_reports
from concordance_shared.prompt_length import check_prompt_length
from msgspec import Struct

from concordance_sdk.channels import Channels
from concordance_sdk.host.instance import ModInstance
from concordance_sdk.host.progress import ProgressGuard
from concordance_sdk.host.request_state import RequestState, has_ended, until_end
from concordance_sdk.host.sleepers import Sleepers
from concordance_sdk.host.tolerance import Tolerance

#: Types of return values that can have reports.
_MAY_REPORT = frozenset({Report, list, tuple})

_NOOP = Noop()


class AdjustableLogits(Logits, Protocol):
    """The logits of one position, which an action can change."""

    def adjusted(self, action: AdjustedLogits) -> Self:
        """Return the logits after an action.

        Raises:
            Exception: The action replaces the logits by something that is not numbers.
        """
        ...


Row = TypeVar("Row", bound=AdjustableLogits)


class ModTally(Struct):
    """Counts of what one mod did in a request."""

    forced_tokens: int = 0  # also those that were backtracked or erased later
    backtracked_tokens: int = 0
    adjusted_steps: int = 0  # positions of which it changed the distribution


class ModDispatch:
    """The mods of one request, in the order in which the request names them.

    Adjustments of the prompt and of logits compose: each mod sees the result of the mods before
    it. The first mod that forces, backtracks or ends decides the event; later mods are skipped
    for this event and see its result in their next `Added`, which always starts where their last
    one ended. Reports decide nothing; they are recorded in `state.reports`, in order, before the
    action that a handler returns beside them is validated.

    Every method may raise a `ModError`. The state is then as before the refused action, and the
    caller ends the request with the error.
    """

    def __init__(
        self,
        state: RequestState,
        mods: Sequence[ModInstance],
        *,
        vocab_size: int,
        context_len: int | None = None,
        channels: Channels | None = None,
    ) -> None:
        """Connect mods to the state of a request.

        Args:
            state: The request.
            mods: Its mods, in the order in which they act.
            vocab_size: Upper bound of token ids, exclusive.
            context_len: Context length of the model: prompt and completion together.
            channels: Those of the completion, if the model has channels.
        """
        self.state = state
        self.channels = channels
        self.vocab_size = vocab_size
        self._context_len = context_len
        self._progress = ProgressGuard(state)
        self.tolerance = Tolerance()
        self.tallies: dict[str, ModTally] = {}  # by name, of the mods that have acted
        self._listeners: dict[type[Event], tuple[ModInstance, ...]] = {Added: ()}
        #: Per listener to `Added`: number of completion tokens that it has been notified of.
        self._num_seen: list[int] = []
        self.set_mods(mods)

    def set_mods(
        self, mods: Sequence[ModInstance], seen: Mapping[int, int] = {}
    ) -> Mapping[int, int]:
        """Replace the mods. One that was there before continues; a new one has seen no token.

        Args:
            mods: In the order in which they act.
            seen: What an earlier call has returned, for mods that were there before.

        Returns:
            Tokens that each mod was notified of so far, by its `id`.
        """
        seen = {**seen, **dict(zip(map(id, self._listeners[Added]), self._num_seen, strict=True))}
        self.mods = tuple(instance for mod in mods for instance in mod.instances)
        self.tolerance.keep(self.mods)
        self._listeners = {
            event: tuple(mod for mod in self.mods if mod.listens_to(event)) for event in EVENTS
        }
        self._num_seen = [seen.get(id(mod), 0) for mod in self._listeners[Added]]
        #: Those that handle `ForwardPass` and act at the next position.
        self._at_logits = self._listeners[ForwardPass]
        #: True if there are any, so that sampling has to wait for them.
        self.listens_to_logits = bool(self._at_logits)
        #: True if a mod handles `Sampled`, and so may read the logprob of a token.
        self.listens_to_sampled = bool(self._listeners[Sampled])
        self._sleepers = None
        if self.channels is not None:
            self._sleepers = Sleepers(self.mods, self._listeners[Added], self.channels) or None
        self._wake()
        return seen

    def introduce(self, mods: Sequence[ModInstance]) -> None:
        """Dispatch the events that mods have missed, which were added to a running request.

        Each gets `Prefilled` with the prompt, then one `Added` with the completion so far.
        """
        state = self.state
        prompt = ContextInfo(tokens=tuple(state.token_ids[: state.prompt_len]))
        event = Prefilled(
            request_id=state.request_id, step=0, max_steps=state.max_tokens, context_info=prompt
        )
        for mod in [instance for each in mods for instance in each.instances]:
            if state.is_finished or not mod.listens_to(Prefilled):
                continue
            action = self._ask(mod, event)
            if isinstance(action, AdjustedPrefill):
                _check_keeps_prompt(mod, event, action)
                if action.max_steps:
                    state.limit_tokens(action.max_steps)
            elif not isinstance(action, Noop):
                self._apply(mod, event, action)
        self._dispatch_added((), forced=False)

    def resume(self, dropped: Sequence[int] = (), dropped_by: str | None = None) -> None:
        """Dispatch the prompt and the completion so far, which an earlier request generated.

        Each mod gets `Prefilled` and one `Added`. What they return is ignored, but for an error:
        the mods of the earlier request have acted already, and the completion shows it.

        Args:
            dropped: Tokens that a mod has forced and for which there was no room. They follow.
            dropped_by: That mod.
        """
        state = self.state
        prompt = ContextInfo(tokens=tuple(state.token_ids[: state.prompt_len]))
        prefilled = Prefilled(
            request_id=state.request_id, step=0, max_steps=state.max_tokens, context_info=prompt
        )
        for mod in self._listeners[Prefilled]:
            _raise_error(self._ask(mod, prefilled), mod, prefilled)
        if state.num_completion:
            added = _added(state, 0, self.channels, forced=1 in state.forced)
            for mod in self._listeners[Added]:
                _raise_error(self._ask(mod, added), mod, added)
        self._num_seen = [state.num_completion] * len(self._num_seen)
        self._wake()
        state.reports.clear()  # the earlier request has made them
        if dropped:
            self._dispatch_added(state.append(dropped, forced=True, mod=dropped_by), forced=True)
        if not state.room:
            state.finish(FinishReason.LENGTH)

    def act(self, mod: ModInstance, event: Event, action: AnyAction) -> tuple[int, ...]:
        """Apply an action as if a mod that is first in the list had returned it at an event.

        Args:
            mod: The mod; need not be in the list.
            event: A `ForwardPass` of the next position.
            action: The action, validated.

        Returns:
            The tokens that it appended, before other mods acted on them.
        """
        if self.state.tracer is not None:
            self.state.tracer.acted(mod.name, event, action)
        added = self._apply(mod, event, action)
        self._dispatch_added(added, forced=True)
        return added

    @property
    def can_backtrack(self) -> bool:
        """True if a mod handles an event at which it may backtrack."""
        return any(self._listeners[event] for event in (ForwardPass, Sampled, Added))

    def prefilled(self) -> None:
        """Dispatch `Prefilled`, before the model processes the prompt."""
        state = self.state
        for mod in self._listeners[Prefilled]:
            prompt = ContextInfo(tokens=tuple(state.token_ids))
            event = Prefilled(
                request_id=state.request_id, step=0, max_steps=state.max_tokens, context_info=prompt
            )
            action = self._ask(mod, event)
            if isinstance(action, AdjustedPrefill):
                self.tolerance.run(mod, self._replace_prompt, mod, event, action)
                continue
            is_decision = not isinstance(action, Noop)
            if is_decision and self.tolerance.run(mod, self._apply, mod, event, action) is not None:
                break
        state.finish_if_complete()

    def forward_pass(
        self, logits: Row, prompt_logprobs: tuple[float | None, ...] | None = None
    ) -> Row | None:
        """Dispatch `ForwardPass` for the next position.

        Args:
            logits: The model's logits.
            prompt_logprobs: Of the prompt's tokens, at the first position, if a mod asked for them.

        Returns:
            The logits to sample from, or `None` if a mod made a decision instead.
        """
        state = self.state
        event = ForwardPass(
            request_id=state.request_id,
            step=state.num_completion,
            logits=logits,
            prompt_logprobs=prompt_logprobs,
        )
        if self.channels is not None:
            event.set_place_reader(self.channels.reader(event.step))
        for mod in self._at_logits:
            action = self._ask(mod, event)
            if isinstance(action, AdjustedLogits):
                adjusted = self.tolerance.run(mod, _adjust, event, action, mod)
                if adjusted is not None:
                    event = event.with_logits(adjusted)
                    self._tally(mod).adjusted_steps += 1
            elif not isinstance(action, Noop):
                added = self.tolerance.run(mod, self._apply, mod, event, action)
                if added is not None:
                    self._dispatch_added(added, forced=True)
                    return None
        return cast(Row, event.logits)

    def sampled(self, token_id: int, read_logprob: Callable[[], float] | None = None) -> None:
        """Dispatch `Sampled`, then append the token or apply the decision of a mod.

        Args:
            token_id: The token.
            read_logprob: Computes its log-probability, if a mod reads it.
        """
        state = self.state
        state.count_sampled()
        if listeners := self._listeners[Sampled]:
            event = Sampled(
                request_id=state.request_id, step=state.num_completion, sampled_token=token_id
            )
            event.set_logprob_reader(read_logprob)
            if self.channels is not None:
                event.set_place_reader(self.channels.reader(event.step))
            added = None
            try:
                for mod in listeners:
                    action = self._ask(mod, event)
                    if not isinstance(action, Noop):
                        added = self.tolerance.run(mod, self._apply, mod, event, action)
                    if added is not None:
                        break
            finally:  # a mod that keeps the event does not keep the logits of the step
                event.set_logprob_reader(None)
            if added is not None:
                self._dispatch_added(added, forced=True)
                return
        self._dispatch_added(state.append((token_id,), forced=False), forced=False)

    def finished(self) -> None:
        """Dispatch `Finished` to every mod, even if one of them raises.

        Raises:
            ConcordanceError: The first error that was raised.
        """
        state = self.state
        event = Finished(
            request_id=state.request_id,
            step=state.num_completion,
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
        )
        errors: list[ConcordanceError] = []
        for mod in self._listeners[Finished]:
            try:
                self._ask(mod, event)
            except ConcordanceError as exc:  # of the mod, or of the process that it runs in
                errors.append(exc)
        if errors:
            raise errors[0]

    def _ask(self, mod: ModInstance, event: Event) -> AnyAction:
        if mod in self.tolerance.dropped:
            return _NOOP
        tracer = self.state.tracer
        try:
            if tracer is None:
                return self._action_of(mod, event)
            return tracer.ask(mod, event, self._action_of)
        except ModError as exc:
            if not self.tolerance.drops(mod, exc):
                raise
            return _NOOP

    def _action_of(self, mod: ModInstance, event: Event) -> AnyAction:
        """Call a mod, record its reports, validate its action. No other method calls mods."""
        returned = mod.ask(event)
        if returned is None or type(returned) is Noop:
            return _NOOP
        if type(returned) in _MAY_REPORT:
            returned = self._take_reports(mod, event, returned)
        return check_action(event, returned, mod=mod.name, vocab_size=self.vocab_size)

    def _take_reports(self, mod: ModInstance, event: Event, returned: object) -> object:
        """Record the reports that a handler returned; return its other action, if any."""
        reports, action = split_reports(event, returned, mod=mod.name)
        for report in reports:
            checked = check_action(event, report, mod=mod.name, vocab_size=self.vocab_size)
            if isinstance(checked, Report):
                entry = ModReport(mod=mod.name, step=event.step, data=dict(checked.data))
                try:
                    self.state.reports.add(entry)
                except ValueError as exc:
                    raise refusal(event, f"{exc}", mod=mod.name) from exc
        return action

    def _dispatch_added(self, added: tuple[int, ...], *, forced: bool) -> None:
        """Dispatch `Added` repeatedly, until no mod acts and every mod has seen every token.

        A mod that acts on `Added` changes the completion, which is news to all mods, itself
        included: one round per action.

            mods M1 M2, completion "ab", "c" was sampled                        num_seen
            round 1   M1: Added(step=2, "c") -> ForceTokens("d")                [3, 2]
                      M2 is skipped: M1 decided
            round 2   M1: Added(step=3, "d") -> Noop                            [4, 2]
                      M2: Added(step=2, "cd") -> Noop                           [4, 4]

        An action that appends nothing, such as `Backtrack(1)`, starts another round only if a mod
        lags. If M1 answers round 2 with `Backtrack(1)`, the completion is "abc": M1 knows it all
        and is not called, but M2 is still at 2 and is notified of "c".

        End conditions are checked after the last round, because a mod may force more tokens after
        an end-of-sequence token or replace it. They are checked even if the last action changed
        nothing, since otherwise a mod that answers `Backtrack(0)` at the end of the budget would
        keep the request alive.
        """
        state = self.state
        if self._sleepers is not None and self._sleepers.sleep_on(state.num_completion):
            self._num_seen = [state.num_completion] * len(self._num_seen)  # nearly always
        else:
            # `_num_seen` is empty without listeners, the usual case: no event is made.
            while (
                self._num_seen
                and not state.is_finished
                and (added or min(self._num_seen) < state.num_completion)
            ):
                decision = self._notify_added(added, forced=forced)
                if decision is None:
                    break
                applied = self.tolerance.run(decision[0], self._apply, *decision)
                if applied is not None:
                    added, forced = applied, True
            if self._sleepers is not None:
                self._wake()
        state.finish_if_complete()
        if state.is_finished:
            state.remove_hidden()
        state.release()

    def _wake(self) -> None:
        """Find the mods that act at the next position, if some act in some messages only."""
        if self._sleepers is None:
            return
        length = self.state.num_completion
        if self._sleepers.move(length):
            at_logits = self._listeners[ForwardPass]
            awake = [mod for mod in at_logits if not self._sleepers.sleeps(mod, length, length)]
            self._at_logits = tuple(awake)
            self.listens_to_logits = bool(self._at_logits)

    def _notify_added(
        self, added: tuple[int, ...], *, forced: bool
    ) -> tuple[ModInstance, Event, AnyAction] | None:
        """Run one round of `Added`: notify the mods in order, until one decides.

        Each mod gets all tokens that it has not seen, which are more than `added` if an earlier
        mod decided in the round before. A mod that has seen them all, or sleeps, is not called.

        Returns:
            The mod that decided, the event and its action; `None` if no mod acted.
        """
        state, length = self.state, self.state.num_completion
        step, event = length - len(added), None
        for i, mod in enumerate(self._listeners[Added]):
            seen = self._num_seen[i]
            if seen == length:
                continue
            self._num_seen[i] = length
            if self._sleepers is not None and self._sleepers.sleeps(mod, seen, length):
                continue
            if seen != step:
                own_event = _added(state, seen, self.channels, forced=1 in state.forced[seen:])
            else:
                event = own_event = event or _added(state, step, self.channels, forced=forced)
            action = self._ask(mod, own_event)
            if not isinstance(action, Noop) and not _ends_again(state, action):
                return mod, own_event, action
        return None

    def _apply(self, mod: ModInstance, event: Event, action: AnyAction) -> tuple[int, ...]:
        """Apply a decision to the state; return the tokens that it appended."""
        state = self.state
        added: tuple[int, ...] = ()
        match action:
            case ForceTokens(tokens):
                added = self._force(mod, tokens)
            case Backtrack(n, tokens):
                self._backtrack(mod, event, n)
                added = self._force(mod, tokens) if tokens else ()
            case ForceOutput(tokens):
                _check_fits_context(state, mod, event, tokens, self._context_len)
                released = state.completion_ids[: state.num_released]
                if list(tokens[: len(released)]) != released:
                    raise _already_streamed(state, mod, event)
                state.replace_completion(tokens, mod=mod.name)
                state.actions.add(mod.name, event, action, state.completion_ids)
                self._tally(mod).forced_tokens += state.num_completion
                state.finish(FinishReason.STOP)
                return ()
            case ToolCalls(tool_calls):
                state.finish(FinishReason.TOOL_CALLS, tool_calls)
            case EmitError(err_str):
                state.actions.add(mod.name, event, action, ())
                raise EmittedError(
                    err_str, mod=mod.name, event=type(event).__name__, step=event.step
                )
            case Noop() | Report() | AdjustedPrefill() | AdjustedLogits():
                raise AssertionError("not a decision")
            case _:
                assert_never(action)
        state.actions.add(mod.name, event, action, added)
        if not state.is_finished:
            self._progress.check(mod.name, event)
        return added

    def _tally(self, mod: ModInstance) -> ModTally:
        tally = self.tallies.get(mod.name)
        if tally is None:
            tally = self.tallies[mod.name] = ModTally()
        return tally

    def _force(self, mod: ModInstance, token_ids: Sequence[int]) -> tuple[int, ...]:
        """Append forced tokens; end the request if there is no room for any."""
        added = self.state.append(token_ids, forced=True, mod=mod.name)
        self._tally(mod).forced_tokens += len(added)
        if not added:
            self.state.finish(FinishReason.LENGTH)
        return added

    def _backtrack(self, mod: ModInstance, event: Event, n: int) -> None:
        state = self.state
        if n > state.num_completion:
            raise refusal(
                event,
                f"backtracked {n} tokens, but the completion has only {state.num_completion},",
                mod=mod.name,
            )
        if state.num_completion - n < state.num_released:
            raise _already_streamed(state, mod, event)
        state.backtrack(n, mod=mod.name)
        self._tally(mod).backtracked_tokens += n
        self._num_seen = [min(seen, state.num_completion) for seen in self._num_seen]

    def _replace_prompt(self, mod: ModInstance, event: Prefilled, action: AdjustedPrefill) -> None:
        state = self.state
        if self._context_len is not None:
            try:
                check_prompt_length(len(action.tokens), self._context_len)
            except ContextLengthError as exc:
                raise refusal(
                    event, f"returned a prompt that is too long ({exc})", mod=mod.name
                ) from exc
        state.replace_prompt(action.tokens, wants_logprobs=action.logprobs)
        state.actions.add(mod.name, event, action, ())
        if action.max_steps:
            state.limit_tokens(action.max_steps)
        if self._context_len is not None:
            state.limit_tokens(self._context_len - state.prompt_len)


def _raise_error(action: AnyAction, mod: ModInstance, event: Event) -> None:
    if isinstance(action, EmitError):
        raise EmittedError(
            action.err_str, mod=mod.name, event=type(event).__name__, step=event.step
        )


def _already_streamed(state: RequestState, mod: ModInstance, event: Event) -> ModError:
    num_held = state.num_completion - state.num_released
    return refusal(
        event,
        "changed tokens that were already streamed",
        mod=mod.name,
        hint=f"; only the last {num_held} are still held back, since it declares "
        f"max_backtrack={mod.max_backtrack}. Declare more with @mod(max_backtrack=...), or "
        "None to hold back the whole completion",
    )


def _added(state: RequestState, step: int, channels: Channels | None, *, forced: bool) -> Added:
    """Create the event for the completion's tokens from `step` on."""
    event = Added(
        request_id=state.request_id,
        step=step,
        added_tokens=tuple(state.token_ids[state.prompt_len + step :]),
        forced=forced,
    )
    if channels is not None:
        event.set_place_reader(channels.reader(state.num_completion))
    return event


def _ends_again(state: RequestState, action: AnyAction) -> bool:
    """True if the completion has ended and the action only ends it at the same place.

    A mod whose reason to stop persists answers `Added` of its own end-of-sequence token with
    the same action. Applied, that would append such tokens until the budget is spent.
    """
    if not has_ended(state):
        return False
    match action:
        case ForceTokens(tokens) | Backtrack(0, tokens):
            return bool(tokens) and tokens[0] in state.forced_eos_ids
        case Backtrack(n, tokens):
            added = until_end(tokens or (), state.forced_eos_ids)
            return n <= state.num_completion and tuple(state.token_ids[-n:]) == added
        case _:
            return False


def _check_keeps_prompt(mod: ModInstance, event: Prefilled, action: AdjustedPrefill) -> None:
    """Refuse to change a prompt that the model has processed."""
    if tuple(action.tokens) != tuple(event.context_info.tokens) or action.logprobs:
        raise refusal(
            event,
            "returned AdjustedPrefill, but the prompt is processed already and cannot change",
            mod=mod.name,
            hint="; name the mod in the request instead",
        )


def _check_fits_context(
    state: RequestState,
    mod: ModInstance,
    event: Event,
    token_ids: Sequence[int],
    context_len: int | None,
) -> None:
    if context_len is None:
        return
    room = context_len - state.prompt_len
    num_tokens = len(until_end(token_ids, state.forced_eos_ids))
    if num_tokens > room:
        raise refusal(
            event,
            f"returned ForceOutput with {num_tokens} tokens, but the model's context of "
            f"{context_len} tokens has room for {room} after the prompt,",
            mod=mod.name,
        )


def _adjust(event: ForwardPass, action: AdjustedLogits, mod: ModInstance) -> AdjustableLogits:
    try:
        return cast(AdjustableLogits, event.logits).adjusted(action)
    except Exception as exc:
        raise refusal(
            event, f"returned AdjustedLogits that cannot be used ({message_of(exc)})", mod=mod.name
        ) from exc
