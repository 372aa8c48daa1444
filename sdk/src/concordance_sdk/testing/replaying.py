"""Gives the events of a trace to mods, and compares what they return with what was recorded."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from concordance_shared import (
    AnyAction,
    Event,
    FinishReason,
    ForwardPass,
    ModError,
    Noop,
)

from concordance_sdk.channels import ChannelFormat, Channels
from concordance_sdk.composition import ModUse
from concordance_sdk.host.action_details import action_details
from concordance_sdk.host.dispatch import ModDispatch
from concordance_sdk.host.instance import InProcessMod, ModInstance
from concordance_sdk.host.request_state import Given, RequestState
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing.recorded_actions import Moments, StandIn, moment_of
from concordance_sdk.testing.recorded_logits import RecordedLogits, UnrecordedError
from concordance_sdk.testing.recorded_trace import (
    RecordedEvent,
    RecordedToken,
    RecordedTrace,
    conversation_of,
)
from concordance_sdk.tokenizer import Tokenizer

#: Actions of these are not returned from a handler.
_ENGINE = ("@control", "loop_detection")

#: Parameters that change logits before mods see them, with the values that change nothing.
_NEUTRAL = {"repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}

Ask = Callable[[ModInstance, Event], AnyAction]


class Replaying:
    """One request of a trace, whose tokens are drawn as they were recorded. A `Tracer`.

    Attributes:
        num_calls: Calls of the mods under test.
        num_actions: Of these, those that returned an action.
    """

    def __init__(
        self,
        trace: RecordedTrace,
        uses: Mapping[str, Sequence[ModUse]],
        tokenizer: Tokenizer,
        channels: ChannelFormat | None = None,
    ) -> None:
        """Make the mods of a request.

        Args:
            trace: The trace.
            uses: The mods under test, by name, in order; others return what is recorded.
            tokenizer: For mods.
            channels: How the model marks channels, if it has them.
        """
        self.num_calls = self.num_actions = 0
        self._trace = trace
        self._moments = Moments(trace)
        self._under_test = frozenset(uses)
        self._left = [event for event in trace.events if self._is_expected(event)]
        self._draws = [token for token in trace.tokens if token.origin == "sampled"]
        self._last_index = -1  # of the token that was drawn last
        self.state = self._state()
        self.state.trace_with(self)
        request = RequestContext(conversation_of(trace), request_id=trace.id)
        request.holds = self.state.holds
        if channels is not None:
            request.channels = Channels(channels, self.state)
            self.state.followers.append(request.channels)
        self._dispatch = ModDispatch(
            self.state,
            self._instances(uses, tokenizer, request),
            vocab_size=trace.limits["vocab_size"],
            context_len=trace.limits["context_length"],
            channels=request.channels,
        )

    def _state(self) -> RequestState:
        trace, limits = self._trace, self._trace.limits
        given = [token for token in trace.tokens if token.origin == "given"]
        return RequestState(
            trace.id,
            trace.given_prompt_ids or trace.prompt_ids or (),
            max_tokens=limits["max_tokens"],
            eos_ids=limits["end_ids"],
            forced_eos_ids=limits["forced_end_ids"],
            hold=None,
            given=Given(
                tuple(token.token_id for token in given), tuple(token.mod for token in given)
            ),
        )

    def _instances(
        self, uses: Mapping[str, Sequence[ModUse]], tokenizer: Tokenizer, request: RequestContext
    ) -> list[ModInstance]:
        made: list[ModInstance] = []
        left = {name: list(some) for name, some in uses.items()}
        for name in dict.fromkeys(mod.name for mod in self._trace.mods):
            if name in left:
                made += [
                    InProcessMod(
                        used.definition,
                        used.parameters,
                        tokenizer=tokenizer,
                        request=request,
                        name=name,
                    )
                    for used in left[name]
                ]
            elif name not in _ENGINE and not self._is_expected_mod(name):
                made.append(StandIn(name, self._moments))
        return made

    def _is_expected_mod(self, name: str) -> bool:
        """True for a mod under test, and for one that it contains."""
        return name.split("/", maxsplit=1)[0] in self._under_test

    def _is_expected(self, event: RecordedEvent) -> bool:
        is_action = event.error or event.action not in ("", "Noop")
        return bool(is_action) and event.event != "command" and self._is_expected_mod(event.mod)

    # The events

    def run(self) -> None:
        """Give all events.

        Raises:
            AssertionError: A mod returned something else than was recorded.
            UnrecordedError: A mod reads something that the trace does not have.
        """
        state = self.state
        self._guarded(self._dispatch.resume if state.num_given else self._dispatch.prefilled)
        while not state.is_finished and self._decide():
            pass
        if not state.is_finished:
            state.finish(FinishReason(self._trace.finish_reason or FinishReason.CANCELLED))
        self._guarded(self._dispatch.finished)
        self._check_none_left()

    def _decide(self) -> bool:
        """Decide the next position; return False if nothing more was recorded."""
        if self._acts_by_hand():
            return True
        state = self.state
        draw = self._draws[0] if self._draws else None
        if draw is None and not self._moments.is_decided(state.num_completion):
            return False
        logits = self._guarded(self._dispatch.forward_pass, self._logits())
        if logits is None:
            return True
        if draw is None:
            return False
        self._check_none_left(self._moments.draws)
        self._moments.draws += 1
        self._last_index = self._draws.pop(0).index
        self._guarded(self._dispatch.sampled, draw.token_id, lambda: _logprob(draw))
        return True

    def _acts_by_hand(self) -> bool:
        """Apply the next action that no mod of the request returned, if it was applied now."""
        event = ForwardPass(
            request_id=self._trace.id, step=self.state.num_completion, logits=range(0)
        )
        for name in _ENGINE:
            action = self._moments.take(name, event)
            if action is not None and not isinstance(action, Noop):
                self._guarded(self._dispatch.act, StandIn(name, self._moments), event, action)
                return True
        return False

    def _logits(self) -> RecordedLogits:
        """Return the logits of the next position."""
        size, token = self._trace.limits["vocab_size"], self._next_token()
        given = self._trace.parameters
        if given.get("logit_bias") or any(given.get(k, v) != v for k, v in _NEUTRAL.items()):
            missing = "penalties or a bias change the logits that mods see; the trace has others"
            return RecordedLogits({}, vocab_size=size, missing=missing)
        if token is None or not token.alternatives:
            return RecordedLogits({}, vocab_size=size, missing="the trace has none here")
        known = {
            each.token_id: each.logprob for each in token.alternatives if each.logprob is not None
        }
        if token.logprob is not None:
            known.setdefault(token.token_id, token.logprob)
        return RecordedLogits(known, vocab_size=size, entropy=token.entropy)

    def _next_token(self) -> RecordedToken | None:
        """Return the next token of the trace at this position."""
        position = self.state.num_completion
        later = self._trace.tokens[self._last_index + 1 :]
        return next((token for token in later if token.position == position), None)

    def _guarded(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call something that runs mods; their errors end the request, as in an engine."""
        try:
            return call(*args)
        except ModError as exc:
            self.state.fail(exc)
            return None

    # What mods return: the interface of a `Tracer`

    def ask(self, mod: ModInstance, event: Event, ask: Ask) -> AnyAction:
        """Call a mod, and compare its action with the one that was recorded."""
        if isinstance(mod, StandIn):
            return ask(mod, event)
        self.num_calls += 1
        try:
            action = ask(mod, event)
        except Exception as exc:
            if unrecorded := _unrecorded(exc):
                raise UnrecordedError(_at(mod.name, event, f"{unrecorded}")) from exc
            self._compare(mod.name, event, "", {}, exc)
            raise
        if not isinstance(action, Noop):
            self._compare(mod.name, event, type(action).__name__, action_details(action))
        return action

    def acted(self, mod: str, event: Event, action: AnyAction) -> None:
        """Ignore an action by hand."""

    def edited(self, kept: int, added: tuple[int, ...], mod: str | None, *, forced: bool) -> None:
        """Count removed tokens."""
        del mod, forced
        self._moments.removed += max(0, self._length - kept)
        self._length = kept + len(added)

    _length = 0  # of the completion

    def _compare(
        self,
        mod: str,
        event: Event,
        action: str,
        details: dict[str, Any],
        error: Exception | None = None,
    ) -> None:
        returned = _shown(action, details, error)
        expected = self._left[0] if self._left else None
        is_here = (
            expected is not None
            and expected.mod == mod
            and moment_of(expected) == self._moments.at(event)
        )
        if expected is None or not is_here:
            self._fail(expected, f"{returned} at {type(event).__name__}, position {event.step}")
        is_same = (expected.action, expected.details) == (action, details)
        if bool(error) != bool(expected.error) or not (is_same or error):
            self._fail(expected, returned)
        self.num_actions += 1
        del self._left[0]

    def _check_none_left(self, draws: int | None = None) -> None:
        """Fail if an action was recorded before the next draw, or before the end."""
        if self._left and (draws is None or self._left[0].draws <= draws):
            self._fail(self._left[0], "nothing")

    def _fail(self, expected: RecordedEvent | None, returned: str) -> NoReturn:
        if expected is None:
            text = f"after {self._text()!r}\n  recorded  nothing more\n  returned  {returned}"
            raise AssertionError(f"replay of trace {self._trace.id}: {text}")
        recorded = _shown(expected.action, expected.details, expected.error)
        raise AssertionError(
            f"replay of trace {self._trace.id}: mod {expected.mod!r} at {expected.event}, position "
            f"{expected.position}, event {expected.index} of the trace, after {self._text()!r}\n"
            f"  recorded  {recorded}\n  returned  {returned}"
        )

    def _text(self) -> str:
        """Return the end of the completion, for messages."""
        texts = {token.token_id: token.text for token in self._trace.tokens}
        return "".join(texts.get(i, "?") for i in self.state.completion_ids[-24:])


def _logprob(token: RecordedToken) -> float:
    if token.logprob is None:
        raise UnrecordedError(f"the trace has no log-probability of token {token.token_id}")
    return token.logprob


def _shown(action: str, details: Mapping[str, Any], error: object = None) -> str:
    if error:
        return f"an error: {error}"
    return f"{action} {dict(details)}" if details else action


def _at(mod: str, event: Event, what: str) -> str:
    return f"mod {mod!r} at {type(event).__name__}, position {event.step}: {what}"


def _unrecorded(exc: BaseException | None) -> UnrecordedError | None:
    """Return what the trace does not have, if that is why a mod raised."""
    while exc is not None and not isinstance(exc, UnrecordedError):
        exc = exc.__cause__ or exc.__context__
    return exc
