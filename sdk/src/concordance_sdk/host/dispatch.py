"""How mods steer a request: events out, actions in, token ids changed. No arrays, no text.

The exact semantics of the design stand here and nowhere else; the engine and the SDK's test
harness both drive this class.
"""

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar, assert_never, cast

from concordance_shared import (
    EVENTS,
    Added,
    AdjustedLogits,
    AdjustedPrefill,
    AnyAction,
    Backtrack,
    ContextInfo,
    EmitError,
    EmittedError,
    Event,
    Finished,
    FinishReason,
    ForceOutput,
    ForceTokens,
    ForwardPass,
    Logits,
    ModBudgetError,
    ModError,
    Noop,
    Prefilled,
    Sampled,
    ToolCalls,
    check_action,
)
from concordance_shared.errors import message_of
from concordance_shared.legality import refusal

from concordance_sdk.host.instance import ModInstance
from concordance_sdk.host.request_state import RequestState

#: A request may take back this many times its `max_tokens`.
MAX_TAKEN_BACK_RATIO = 8

#: So many decisions of mods in a row may lead back to a completion that was there before.
MAX_STALLED_DECISIONS = 64


class AdjustableLogits(Logits, Protocol):
    """A row of scores that an action can change."""

    def adjusted(self, action: AdjustedLogits) -> Self:
        """The row after the action.

        Raises:
            Exception: The action's row is not made of numbers.
        """
        ...


Row = TypeVar("Row", bound=AdjustableLogits)


class ModDispatch:
    """The mods of one request, and what they may do to its state.

    Mods act in the order in which they were named. Adjustments of the prompt and of logits
    compose: each mod sees what the one before it left. The first mod that forces, takes back or
    ends decides the event; those behind it are not asked about it and see its result in the next:
    the next `Added` that a mod is told of begins where the last one that it was told of ended.

    Every method may raise a `ModError`, after which the state is as it was before the answer that
    was refused, and the caller ends the request with that error.
    """

    def __init__(
        self,
        state: RequestState,
        mods: Sequence[ModInstance],
        *,
        vocab_size: int,
        context_len: int | None = None,
    ) -> None:
        """Steer `state` by `mods`.

        Args:
            state: The request.
            mods: Its mods, in the order in which they act.
            vocab_size: Token ids are below this.
            context_len: How many tokens the model can look at, prompt and completion together.
        """
        self.state = state
        self.mods = tuple(part for mod in mods for part in mod.parts)
        self._vocab_size = vocab_size
        self._context_len = context_len
        self._listeners: dict[type[Event], tuple[ModInstance, ...]] = {
            event: tuple(mod for mod in self.mods if mod.listens_to(event)) for event in EVENTS
        }
        #: How many tokens of the completion each listener to `Added` was told of.
        self._told = [0] * len(self._listeners[Added])
        self._longest = 0  # the completion's greatest length after a decision
        self._been: set[int] = set()  # hashes of the shorter ones that decisions led to
        self._stalled = 0  # decisions since one last led to a new one

    @property
    def listens_to_logits(self) -> bool:
        """Whether a mod has to be asked before a position can be sampled."""
        return bool(self._listeners[ForwardPass])

    @property
    def can_take_back(self) -> bool:
        """Whether a mod is asked at an event at which tokens can be taken back."""
        return any(self._listeners[event] for event in (ForwardPass, Sampled, Added))

    def prefilled(self) -> None:
        """Tell the mods of the prompt, before the model reads it."""
        state = self.state
        for mod in self._listeners[Prefilled]:
            prompt = ContextInfo(tokens=tuple(state.token_ids))
            event = Prefilled(
                request_id=state.request_id, step=0, max_steps=state.max_tokens, context_info=prompt
            )
            action = self._ask(mod, event)
            if isinstance(action, AdjustedPrefill):
                self._adjust_prompt(mod, event, action)
            elif not isinstance(action, Noop):
                self._apply(mod, event, action)
                break
        self._finish_if_complete()

    def forward_pass(self, logits: Row) -> Row | None:
        """Ask the mods about the next position.

        Args:
            logits: The model's scores of it.

        Returns:
            The scores to sample from, or `None` if a mod decided otherwise.
        """
        state = self.state
        event = ForwardPass(request_id=state.request_id, step=state.num_completion, logits=logits)
        for mod in self._listeners[ForwardPass]:
            action = self._ask(mod, event)
            if isinstance(action, AdjustedLogits):
                event = event.with_logits(_adjusted(event, action, mod))
            elif not isinstance(action, Noop):
                self._carry_out(mod, event, action)
                return None
        return cast(Row, event.logits)

    def sampled(self, token_id: int) -> None:
        """Take a sampled token into the completion, or what the mods put in its place."""
        state = self.state
        state.num_sampled += 1
        if self._listeners[Sampled]:
            event = Sampled(
                request_id=state.request_id, step=state.num_completion, sampled_token=token_id
            )
            if decision := self._decide(event):
                self._carry_out(decision[0], event, decision[1])
                return
        self._settle(state.append((token_id,), forced=False), forced=False)

    def finished(self) -> None:
        """Tell every mod that the request has ended, even if one of them raises.

        Raises:
            ModError: The first that was raised, after all were told.
        """
        state = self.state
        event = Finished(
            request_id=state.request_id,
            step=state.num_completion,
            finish_reason=state.finish_reason or FinishReason.CANCELLED,
        )
        errors: list[ModError] = []
        for mod in self._listeners[Finished]:
            try:
                self._ask(mod, event)
            except ModError as exc:
                errors.append(exc)
        if errors:
            raise errors[0]

    def _ask(self, mod: ModInstance, event: Event) -> AnyAction:
        """The one place where a mod is called, and its answer checked."""
        return check_action(event, mod.ask(event), mod=mod.name, vocab_size=self._vocab_size)

    def _decide(self, event: Event) -> tuple[ModInstance, AnyAction] | None:
        """The first answer that is not a no-op, and whose it is."""
        for mod in self._listeners[type(event)]:
            action = self._ask(mod, event)
            if not isinstance(action, Noop):
                return mod, action
        return None

    def _carry_out(self, mod: ModInstance, event: Event, action: AnyAction) -> None:
        """Apply a decision, then let the mods see and answer what it added."""
        self._settle(self._apply(mod, event, action), forced=True)

    def _settle(self, added: tuple[int, ...], *, forced: bool) -> None:
        """Raise `Added` for what was appended, and for what answers append, until all is quiet.

        Whatever the last decision was, a completion that is full or ends with an end-of-sequence
        token then ends the request: a decision may add nothing, such as `Backtrack(0)`.
        """
        state = self.state
        while not state.is_finished and (added or self._lags()):
            decision = self._tell_added(added, forced=forced)
            if decision is None:
                break
            added, forced = self._apply(*decision), True
        self._finish_if_complete()
        state.release()

    def _lags(self) -> bool:
        """Whether a mod has not been told of all tokens, since another decided before."""
        return any(told < self.state.num_completion for told in self._told)

    def _tell_added(
        self, added: tuple[int, ...], *, forced: bool
    ) -> tuple[ModInstance, Event, AnyAction] | None:
        """Tell the mods what was appended, until one decides; return who, on what, and what.

        A mod that was not asked about the tokens before, since another one decided, is told of
        them now: what it is told of the completion has no holes, and it is told of every token
        before it is asked about the position behind. One that knows all is not asked again.
        """
        state, length = self.state, self.state.num_completion
        event = _added(state, length - len(added), forced=forced)
        for i, mod in enumerate(self._listeners[Added]):
            told = self._told[i]
            if told == length:
                continue
            if told != event.step:
                seen = _added(state, told, forced=1 in state.forced[told:])
            else:
                seen = event
            self._told[i] = length
            action = self._ask(mod, seen)
            if not isinstance(action, Noop):
                return mod, seen, action
        return None

    def _finish_if_complete(self) -> None:
        """End a request whose completion ends with an end-of-sequence token or has no room left."""
        state = self.state
        if state.num_completion and state.token_ids[-1] in state.eos_ids:
            state.finish(FinishReason.STOP)
        elif not state.room:
            state.finish(FinishReason.LENGTH)

    def _apply(self, mod: ModInstance, event: Event, action: AnyAction) -> tuple[int, ...]:
        """Change the state as a decision says; return the tokens that it appended."""
        state = self.state
        added: tuple[int, ...] = ()
        match action:
            case ForceTokens(tokens):
                added = self._force(mod, tokens)
            case Backtrack(n, tokens):
                self._take_back(mod, event, n)
                added = self._force(mod, tokens) if tokens else ()
            case ForceOutput(tokens):
                self._check_shown_is_kept(mod, event, tokens)
                state.replace_completion(tokens, mod=mod.name)
                state.finish(FinishReason.STOP)
            case ToolCalls(tool_calls):
                state.tool_calls = tuple(tool_calls)
                state.finish(FinishReason.TOOL_CALLS)
            case EmitError(err_str):
                raise EmittedError(
                    err_str, mod=mod.name, event=type(event).__name__, step=event.step
                )
            case Noop() | AdjustedPrefill() | AdjustedLogits():
                raise AssertionError("not a decision")
            case _:
                assert_never(action)
        if not state.is_finished:
            self._check_progress(mod, event)
        return added

    def _force(self, mod: ModInstance, token_ids: Sequence[int]) -> tuple[int, ...]:
        """Append forced tokens; without room for one, the budget is spent."""
        added = self.state.append(token_ids, forced=True, mod=mod.name)
        if not added:
            self.state.finish(FinishReason.LENGTH)
        return added

    def _take_back(self, mod: ModInstance, event: Event, n: int) -> None:
        state = self.state
        if n > state.num_completion:
            raise refusal(
                event,
                f"took back {n} tokens, but the completion has only {state.num_completion},",
                mod=mod.name,
            )
        if state.num_completion - n < state.num_released:
            raise self._already_shown(mod, event, state.num_completion - state.num_released)
        state.backtrack(n, mod=mod.name)
        self._told = [min(told, state.num_completion) for told in self._told]

    def _check_shown_is_kept(
        self, mod: ModInstance, event: Event, token_ids: Sequence[int]
    ) -> None:
        state = self.state
        shown = state.completion_ids[: state.num_released]
        if list(token_ids[: len(shown)]) != shown:
            raise self._already_shown(mod, event, state.num_completion - state.num_released)

    def _already_shown(self, mod: ModInstance, event: Event, still_held: int) -> ModError:
        return refusal(
            event,
            f"took back tokens that the stream has shown already: only the last {still_held} are "
            f"still held back, since it declares max_backtrack={mod.max_backtrack}. Declare more, "
            "@mod(max_backtrack=...), or None to hold back the whole completion; it answered",
            mod=mod.name,
        )

    def _check_progress(self, mod: ModInstance, event: Event) -> None:
        """End a request whose mods keep it from ever advancing."""
        state = self.state
        self._stalled = 0 if self._is_new_place() else self._stalled + 1
        if self._stalled >= MAX_STALLED_DECISIONS:
            reason = f"{self._stalled} decisions in a row led to nothing new"
            remedy = "let it take back each position only a few times"
        elif state.num_taken_back > MAX_TAKEN_BACK_RATIO * state.max_tokens:
            reason = (
                f"{state.num_taken_back} tokens were taken back, more than "
                f"{MAX_TAKEN_BACK_RATIO} x max_tokens ({state.max_tokens})"
            )
            remedy = "let it take back less, or give the request a larger max_tokens"
        else:
            return
        raise ModBudgetError(
            f"mod {mod.name!r} keeps the completion from advancing: {reason}, the last at "
            f"{type(event).__name__} (step {event.step}); {remedy}",
            mod=mod.name,
            event=type(event).__name__,
            step=event.step,
        )

    def _is_new_place(self) -> bool:
        """Whether the completion is one that no decision has led to before."""
        if self.state.num_completion > self._longest:
            self._longest = self.state.num_completion
            return True
        place = hash(tuple(self.state.completion_ids))
        is_new = place not in self._been
        self._been.add(place)
        return is_new

    def _adjust_prompt(self, mod: ModInstance, event: Prefilled, action: AdjustedPrefill) -> None:
        state = self.state
        if self._context_len is not None and len(action.tokens) >= self._context_len:
            raise refusal(
                event,
                f"gave a prompt of {len(action.tokens)} tokens, which leaves no room in the "
                f"model's context of {self._context_len},",
                mod=mod.name,
            )
        state.replace_prompt(action.tokens)
        if action.max_steps:
            state.max_tokens = min(state.max_tokens, action.max_steps)
        if self._context_len is not None:
            state.max_tokens = min(state.max_tokens, self._context_len - state.prompt_len)


def _added(state: RequestState, step: int, *, forced: bool) -> Added:
    """The event that the completion's tokens from `step` on were appended."""
    return Added(
        request_id=state.request_id,
        step=step,
        added_tokens=tuple(state.token_ids[state.prompt_len + step :]),
        forced=forced,
    )


def _adjusted(event: ForwardPass, action: AdjustedLogits, mod: ModInstance) -> AdjustableLogits:
    try:
        return cast(AdjustableLogits, event.logits).adjusted(action)
    except Exception as exc:
        raise refusal(
            event, f"gave AdjustedLogits that cannot be used ({message_of(exc)})", mod=mod.name
        ) from exc
